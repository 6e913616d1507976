// Draws the charts that the page's data describes, and keeps them together: one time axis, one cursor, one zoom.
// It computes no figure; those are in #content. Colours are the style sheet's, so a theme needs no redrawing.
"use strict";
(() => {
  const content = JSON.parse(document.getElementById("content").textContent);
  const make = (tag, attributes = {}, ...children) => {
    const node = Object.assign(document.createElement(tag), attributes);
    node.append(...children);
    return node;
  };
  const draw = (tag, attributes, ...children) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  };

  // -- light and dark

  const dark = matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;
  const isDark = () => (root.dataset.theme || (dark.matches ? "dark" : "light")) === "dark";
  const stored = {
    get() { try { return localStorage.getItem("ringline-theme"); } catch { return null; } },
    set(value) { try { localStorage.setItem("ringline-theme", value); } catch { /* a file may have no storage */ } },
  };
  if (["light", "dark"].includes(stored.get())) root.dataset.theme = stored.get();
  document.getElementById("theme").addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    stored.set(root.dataset.theme);
  });

  // -- charts

  const grid = document.querySelector(".charts");
  const plots = []; // {chart, node, svg, cursor, tip, hidden, seen, stale}
  const whole = [0, content.duration];
  let range = [...whole];
  const MARGIN = { left: 42, right: 10, top: 10, bottom: 20 };
  const TIMES = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200];

  const clock = (seconds) => {
    const s = Math.round(seconds * 10) / 10, pad = (n) => String(n).padStart(2, "0");
    const rest = (s % 60).toFixed(Number.isInteger(s) ? 0 : 1).padStart(Number.isInteger(s) ? 2 : 4, "0");
    const hours = Math.floor(s / 3600), minutes = Math.floor(s / 60);
    return hours ? `${hours}:${pad(minutes % 60)}:${rest}` : `${minutes}:${rest}`;
  };
  const steps = (low, high, most) => {
    const rough = (high - low) / most, power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find((n) => n * power >= rough);
    const found = [];
    for (let n = Math.ceil(low / step - 1e-9); n * step <= high + step * 1e-9; n += 1) found.push(n * step);
    return found;
  };
  const short = (value) => {
    const size = Math.abs(value);
    return value.toFixed(size >= 100 || Number.isInteger(value) ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3).replace("-", "\u2212");
  };

  // Values stand in the middle of their interval: it reaches half-way to those beside it.
  const border = (trace, i) => (i === 0 ? trace.edges[0] : i === trace.x.length ? trace.edges[1] : (trace.x[i - 1] + trace.x[i]) / 2);
  const indexAt = (trace, at) => {
    let low = 0, high = trace.x.length - 1;
    if (at < trace.edges[0] || at > trace.edges[1]) return -1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (border(trace, middle + 1) < at) low = middle + 1; else high = middle;
    }
    return low;
  };

  const lineOf = (trace, x, y, floor) => {
    let path = "", open = false;
    const close = (i) => { if (open && floor !== null) path += `V${floor}H${x(border(trace, open.from))}Z`; open = false; };
    trace.y.forEach((value, i) => {
      if (value === null) { close(i); return; }
      const left = x(border(trace, i)).toFixed(1), right = x(border(trace, i + 1)).toFixed(1), at = y(value).toFixed(1);
      if (open) path += `V${at}H${right}`;
      else { path += floor === null ? `M${left} ${at}H${right}` : `M${left} ${floor}V${at}H${right}`; open = { from: i }; }
    });
    close();
    return path;
  };

  const refresh = (plot) => {
    const { chart, node } = plot, width = node.clientWidth, height = node.clientHeight;
    plot.stale = !plot.seen || !width;
    if (plot.stale) return;
    const right = width - MARGIN.right, bottom = height - MARGIN.bottom;
    const [low, high] = chart.limits || [0, 1];
    const x = (s) => MARGIN.left + ((s - range[0]) / (range[1] - range[0])) * (right - MARGIN.left);
    const y = (v) => MARGIN.top + ((high - v) / (high - low || 1)) * (bottom - MARGIN.top);
    plot.x = x;
    const svg = draw("svg", { width, height, role: "img", "aria-label": plot.title });
    const id = `clip-${chart.key}-${chart.end}`;
    svg.append(draw("clipPath", { id }, draw("rect", { x: MARGIN.left, y: 0, width: Math.max(1, right - MARGIN.left), height: bottom + 1 })));
    const text = (words, place) => { const t = draw("text", place); t.textContent = words; return t; };
    for (const value of steps(low, high, height < 150 ? 3 : 5)) {
      svg.append(draw("line", { class: "grid", x1: MARGIN.left, x2: right, y1: y(value), y2: y(value) }));
      svg.append(text(short(value), { x: MARGIN.left - 5, y: y(value) + 3.5, "text-anchor": "end" }));
    }
    const step = TIMES.find((s) => (range[1] - range[0]) / s <= Math.max(2, width / 80)) || 86400;
    for (let n = Math.ceil(range[0] / step - 1e-9); n * step <= range[1] + 1e-9; n += 1) {
      svg.append(text(clock(n * step), { x: x(n * step), y: height - 5, "text-anchor": x(n * step) > right - 12 ? "end" : "middle" }));
      svg.append(draw("line", { class: "grid", x1: x(n * step), x2: x(n * step), y1: bottom, y2: bottom + 3 }));
    }
    const inside = draw("g", { "clip-path": `url(#${id})` });
    for (const span of chart.spans) {
      const wide = Math.max(1.5, x(span.end) - x(span.start));
      const band = draw("rect", { class: `band ${span.kind}`, x: x(span.start), y: MARGIN.top, width: wide, height: bottom - MARGIN.top });
      const title = draw("title", {});
      title.textContent = `${span.name} ${clock(span.start)}${span.text ? `: ${span.text}` : ""}`;
      band.append(title);
      inside.append(band);
    }
    for (const [value, word] of chart.levels) {
      inside.append(draw("line", { class: "level", x1: MARGIN.left, x2: right, y1: y(value), y2: y(value) }));
      svg.append(text(word, { class: "word", x: right - 2, y: y(value) - 3, "text-anchor": "end" }));
    }
    chart.traces.forEach((trace, index) => {
      if (plot.hidden.has(index)) return;
      const stroke = `var(--${trace.color})`;
      if (trace.style === "dots") {
        trace.x.forEach((at, i) => trace.y[i] !== null && inside.append(draw("circle", { cx: x(at), cy: y(trace.y[i]), r: 2.5, fill: stroke, "data-name": trace.name })));
        return;
      }
      if (trace.style === "fill") inside.append(draw("path", { d: lineOf(trace, x, y, y(Math.max(low, 0)).toFixed(1)), fill: stroke, "fill-opacity": 0.28 }));
      inside.append(draw("path", { d: lineOf(trace, x, y, null), fill: "none", stroke, class: `trace ${trace.style}`, "data-name": trace.name }));
    });
    svg.append(inside, draw("line", { class: "axis", x1: MARGIN.left, x2: right, y1: bottom, y2: bottom }));
    plot.svg.replaceWith(svg);
    plot.svg = svg;
  };
  // What is not in sight is drawn when it comes there.
  const inSight = new IntersectionObserver((entries) => entries.forEach((entry) => {
    const plot = plots.find((each) => each.node === entry.target);
    plot.seen = entry.isIntersecting;
    if (plot.seen && plot.stale) refresh(plot);
  }), { rootMargin: "300px" });
  const drawAll = () => { root.dataset.range = range.map((s) => Math.round(s * 1000)).join(); plots.forEach(refresh); };

  const legendOf = (plot) => make("ul", { className: "legend" }, ...plot.chart.traces.map((trace, index) => {
    const swatch = make("i", { className: trace.style });
    swatch.style.borderColor = `var(--${trace.color})`;
    if (trace.style === "fill") swatch.style.background = `color-mix(in srgb, var(--${trace.color}) 35%, transparent)`;
    const button = make("button", { type: "button" }, swatch, trace.name);
    button.setAttribute("aria-pressed", "true");
    button.addEventListener("click", () => {
      const shown = plot.hidden.delete(index);
      if (!shown) plot.hidden.add(index);
      button.setAttribute("aria-pressed", String(shown));
      refresh(plot);
    });
    return make("li", {}, button);
  }));

  // -- one time axis

  const zoomTo = (from, to) => {
    const length = Math.min(Math.max(to - from, 1), whole[1]);
    const start = Math.min(Math.max(from, 0), whole[1] - length);
    range = [start, start + length];
    drawAll();
  };
  const timeAt = (plot, event) => {
    const box = plot.node.getBoundingClientRect(), width = box.width - MARGIN.left - MARGIN.right;
    const share = (event.clientX - box.left - MARGIN.left) / width;
    return range[0] + Math.min(1, Math.max(0, share)) * (range[1] - range[0]);
  };
  const leave = () => plots.forEach((each) => { each.cursor.style.display = "none"; each.tip.style.display = "none"; });
  const point = (plot, at) => {
    for (const each of plots) {
      if (!each.x) continue;
      each.cursor.style.display = "block";
      each.cursor.style.left = `${each.x(at)}px`;
      each.tip.style.display = "none";
    }
    const lines = plot.chart.traces.flatMap((trace, index) => {
      const i = plot.hidden.has(index) ? -1 : indexAt(trace, at);
      if (i < 0 || trace.y[i] === null) return [];
      const swatch = make("i");
      swatch.style.background = `var(--${trace.color})`;
      return [make("div", {}, swatch, `${trace.name} `, make("b", {}, short(trace.y[i])))];
    });
    plot.tip.replaceChildren(make("div", { className: "when" }, clock(at)), ...lines);
    plot.tip.style.display = "block";
    const left = plot.x(at) + 12, most = plot.node.clientWidth - plot.tip.offsetWidth - 4;
    plot.tip.style.left = `${Math.max(2, left > most ? plot.x(at) - plot.tip.offsetWidth - 12 : left)}px`;
  };
  const watch = (plot) => {
    let from = null;
    plot.node.addEventListener("pointermove", (event) => {
      const at = timeAt(plot, event);
      point(plot, at);
      if (from === null) return;
      const [a, b] = [Math.min(from, at), Math.max(from, at)];
      plot.chosen.style.display = "block";
      plot.chosen.style.left = `${plot.x(a)}px`;
      plot.chosen.style.width = `${plot.x(b) - plot.x(a)}px`;
    });
    plot.node.addEventListener("pointerdown", (event) => {
      if (event.pointerType === "mouse" && event.button === 0) { from = timeAt(plot, event); plot.node.setPointerCapture(event.pointerId); event.preventDefault(); }
      else point(plot, timeAt(plot, event));
    });
    const drop = (event) => {
      const to = timeAt(plot, event), begun = from;
      from = null;
      plot.chosen.style.display = "none";
      if (begun !== null && Math.abs(plot.x(to) - plot.x(begun)) > 8) zoomTo(Math.min(begun, to), Math.max(begun, to));
    };
    plot.node.addEventListener("pointerup", drop);
    plot.node.addEventListener("pointercancel", () => { from = null; plot.chosen.style.display = "none"; });
    plot.node.addEventListener("pointerleave", leave);
    plot.node.addEventListener("dblclick", () => zoomTo(...whole));
  };

  // The worst second of the end that is shown (phone), else of all.
  const worstSecond = () => content.worst.filter((w) => !phone.matches || w.end === selected)
    .reduce((least, w) => (least === undefined || w.mos_lq < least.mos_lq ? w : least), undefined);
  const zooms = {
    all: () => zoomTo(...whole),
    worst: () => { const w = worstSecond(); if (w) zoomTo(w.start - 4, w.stop + 4); },
    in: () => { const by = (range[1] - range[0]) / 4; zoomTo(range[0] + by, range[1] - by); },
    out: () => { const by = (range[1] - range[0]) / 2; zoomTo(range[0] - by, range[1] + by); },
    left: () => { const by = (range[1] - range[0]) / 2; zoomTo(range[0] - by, range[1] - by); },
    right: () => { const by = (range[1] - range[0]) / 2; zoomTo(range[0] + by, range[1] + by); },
  };

  // -- a phone shows one end at a time, and the first charts until it is asked for more

  const phone = matchMedia("(max-width: 760px)");
  let selected = 0;
  const select = (end) => {
    selected = end;
    document.querySelectorAll(".tabs button").forEach((b) => b.setAttribute("aria-selected", String(Number(b.dataset.end) === end)));
    grid.querySelectorAll(".chart").forEach((c) => c.classList.toggle("other", Number(c.dataset.end) !== end));
    drawAll();
  };

  const build = () => {
    const keys = [...new Set(content.charts.map((chart) => chart.key))];
    for (const chart of content.charts) {
      const where = content.ends.length > 1 ? `, ${content.ends[chart.end]}` : "";
      const plot = {
        chart, title: `${chart.title}${where}, over time`, node: make("div", { className: "plot" }), svg: draw("svg", {}),
        cursor: make("div", { className: "cursor" }), tip: make("div", { className: "tip" }), chosen: make("div", { className: "chosen" }),
        hidden: new Set(), seen: false, stale: true,
      };
      const unit = chart.unit ? make("small", {}, ` ${chart.unit}`) : "";
      const card = make("div", { className: "chart" }, make("h3", { title: chart.note }, `${chart.title}${where}`, unit), legendOf(plot));
      card.dataset.end = chart.end;
      card.dataset.key = chart.key;
      card.classList.toggle("further", keys.indexOf(chart.key) > 2);
      if (chart.traces.length) {
        plot.node.append(plot.svg, plot.chosen, plot.cursor, plot.tip);
        card.append(plot.node);
        plots.push(plot);
      } else card.append(make("p", { className: "note" }, "not measured at this end"));
      grid.append(card);
    }
    const more = document.querySelector("#more");
    more.hidden = keys.length <= 3;
    more.addEventListener("click", () => { grid.classList.add("all"); more.hidden = true; drawAll(); });
    plots.forEach((plot) => { watch(plot); inSight.observe(plot.node); });
    select(0);
  };

  // -- tables of the seconds, made when they are opened

  const lookUp = (path) => JSON.parse(path).reduce((at, name) => at?.[name], content.document);
  const PAGE = 600;
  const fill = (details) => {
    const rows = lookUp(details.dataset.list), box = details.querySelector(".scroll");
    if (box.firstChild || !Array.isArray(rows)) return;
    const isObject = (row) => row !== null && typeof row === "object" && !Array.isArray(row);
    const names = [...new Set(rows.flatMap((row) => (isObject(row) ? Object.keys(row) : [])))];
    const heads = names.length ? names : ["value"];
    const show = (value) => (value === null || value === undefined ? "null" : typeof value === "object" ? JSON.stringify(value) : String(value));
    const body = make("tbody");
    const more = make("button", { type: "button" });
    const append = () => {
      const from = body.rows.length;
      for (const row of rows.slice(from, from + PAGE)) {
        body.append(make("tr", {}, ...heads.map((name) => make("td", {}, show(names.length ? row?.[name] : row)))));
      }
      more.textContent = `${rows.length - body.rows.length} more rows`;
      more.hidden = body.rows.length >= rows.length;
    };
    more.addEventListener("click", append);
    box.append(make("table", {}, make("thead", {}, make("tr", {}, ...heads.map((name) => make("th", { scope: "col" }, name)))), body), more);
    append();
  };

  // -- players: one at a time, and all at the same moment of the call

  const players = [...document.querySelectorAll("audio")];
  let moment = 0;
  players.forEach((player) => {
    player.addEventListener("play", () => players.forEach((other) => {
      if (other === player || other.paused) return;
      other.pause();
      player.currentTime = other.currentTime; // to hear the same words once more, from the other side
    }));
    player.addEventListener("timeupdate", () => { moment = player.currentTime; });
    player.addEventListener("pause", () => players.forEach((other) => { if (other !== player && other.paused) other.currentTime = moment; }));
  });
  document.querySelectorAll("[data-seek]").forEach((button) => button.addEventListener("click", () => {
    const audio = button.parentElement.querySelector("audio");
    players.forEach((other) => other.pause());
    audio.currentTime = Number(button.dataset.seek);
    audio.play().catch(() => { /* the browser says why beside the player */ });
  }));

  // -- start

  document.querySelectorAll("details.series").forEach((d) => d.addEventListener("toggle", () => { if (d.open) fill(d); }));
  if (phone.matches) document.querySelectorAll("details.part").forEach((d) => { d.open = false; });
  document.querySelectorAll("[data-zoom]").forEach((b) => b.addEventListener("click", zooms[b.dataset.zoom]));
  document.querySelector("[data-zoom=worst]").hidden = !content.worst.length;
  document.querySelectorAll(".tabs button").forEach((b) => b.addEventListener("click", () => select(Number(b.dataset.end))));
  build();
  new ResizeObserver(drawAll).observe(grid);
  // Every chart and every part is on paper.
  addEventListener("beforeprint", () => {
    document.querySelectorAll("details.part").forEach((d) => { d.open = true; });
    plots.forEach((plot) => { plot.seen = true; });
    drawAll();
  });
  matchMedia("print").addEventListener("change", () => { plots.forEach((plot) => { plot.seen = true; }); drawAll(); });
  root.dataset.ready = "true";
})();
