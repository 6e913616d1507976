// Draws the charts that the page's data describes, and keeps them together: one time axis, one cursor, one theme.
// It computes no figure; those are in #content.
"use strict";
(() => {
  const content = JSON.parse(document.getElementById("content").textContent);
  const whole = [0, content.duration * 1000];
  const make = (tag, attributes = {}, ...children) => {
    const node = Object.assign(document.createElement(tag), attributes);
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
  const color = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();
  const faint = (name, share) => {
    const value = parseInt(color(name).slice(1), 16);
    return `rgba(${value >> 16},${(value >> 8) & 255},${value & 255},${share})`;
  };

  // -- charts

  const grid = document.querySelector(".charts");
  const plots = []; // {chart, node, cursor}
  const hour = content.duration >= 3600;

  const clock = (ms) => {
    const s = Math.round(ms / 100) / 10, pad = (n) => String(n).padStart(2, "0");
    const rest = (s % 60).toFixed(Number.isInteger(s) ? 0 : 1).padStart(Number.isInteger(s) ? 2 : 4, "0");
    return hour ? `${Math.floor(s / 3600)}:${pad(Math.floor(s / 60) % 60)}:${rest}` : `${Math.floor(s / 60)}:${rest}`;
  };

  // plotly takes numbers of four digits for years: moments go to it as text.
  const moment = (ms) => new Date(ms).toISOString().slice(0, -1);

  // A value between two gaps has no line: a dot makes it visible.
  const lonely = (y) => y.map((v, i) => (v !== null && (y[i - 1] ?? null) === null && (y[i + 1] ?? null) === null ? 5 : 0));

  // Values stand in the middle of their interval; the first and the last reach to the ends of theirs.
  const traceOf = (chart, trace) => ({
    name: trace.name, x: [trace.edges[0], ...trace.x, trace.edges[1]].map((s) => moment(s * 1000)),
    y: trace.style === "dots" ? [null, ...trace.y, null] : [trace.y[0], ...trace.y, trace.y.at(-1)], type: "scatter", mode: trace.style === "dots" ? "markers" : "lines+markers",
    line: { color: trace.style === "thin" ? faint(trace.color, 0.6) : color(trace.color), width: ["fill", "thin"].includes(trace.style) ? 1 : 2, shape: "hvh",
            dash: trace.style === "dash" ? "4px,3px" : "solid" },
    marker: { color: color(trace.color), size: trace.style === "dots" ? 5 : [0, ...lonely(trace.y), 0], line: { width: 0 } },
    fill: trace.style === "fill" ? "tozeroy" : "none", fillcolor: faint(trace.color, 0.3), connectgaps: false,
    hovertemplate: `%{y:.3~f}<extra>${trace.name.replace(/[<>&]/g, "")}</extra>`,
  });

  const spanColor = { worst: "amber", outage: "red", freeze: "red", silence: "grey" };
  const eventColors = ["blue", "violet", "green", "grey"];
  // Each kind of event of the call has its own colour, the same at both ends.
  const eventNames = [...new Set(content.charts.flatMap((c) => c.spans).filter((s) => s.kind === "event").map((s) => s.name))];
  const colorOf = (span) => spanColor[span.kind] || eventColors[eventNames.indexOf(span.name) % eventColors.length] || "blue";

  // What happened, as bars on lines of one kind each.
  const laneTraces = (chart) => {
    const names = [...new Set(chart.spans.map((s) => s.name))];
    return names.map((name) => {
      const spans = chart.spans.filter((s) => s.name === name);
      const least = (range[1] - range[0]) / 250; // a moment is to be seen, too
      return {
        type: "bar", orientation: "h", name, y: spans.map(() => name), base: spans.map((s) => moment(s.start * 1000)),
        x: spans.map((s) => Math.max((s.end - s.start) * 1000, least)), width: 0.6,
        marker: { color: color(colorOf(spans[0])) },
        hovertemplate: spans.map((s) => `${clock(s.start * 1000)} ${(s.text || "").replace(/[<>&%]/g, "")}<extra></extra>`),
      };
    });
  };

  const shapesOf = (chart) => {
    const levels = chart.levels.map(([y]) => ({
      type: "line", xref: "paper", x0: 0, x1: 1, y0: y, y1: y, line: { color: color("grey"), width: 1, dash: "dot" }, layer: "below",
    }));
    const spans = chart.lane ? [] : chart.spans.concat(worst(chart.end)).map((s) => ({
      type: "rect", yref: "paper", y0: 0, y1: 1, x0: moment(s.start * 1000), x1: moment(s.end * 1000), layer: "below",
      line: { width: 0 }, fillcolor: faint(colorOf(s), 0.22),
    }));
    return levels.concat(spans);
  };

  const worst = (end) => content.charts.filter((c) => c.lane && c.end === end)
    .flatMap((c) => c.spans).filter((s) => s.kind === "worst" || s.kind === "outage");

  const layoutOf = (chart, range) => {
    const format = hour ? "%-H:%M:%S" : "%-M:%S";
    const axis = { gridcolor: color("grid"), linecolor: color("line"), zerolinecolor: color("line"), tickfont: { color: color("soft"), size: 11 } };
    const kinds = new Set(chart.spans.map((s) => s.name)).size;
    return {
      margin: { l: 44, r: 14, t: 8, b: 26 }, height: chart.lane ? 34 + 20 * kinds : undefined,
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: color("ink"), family: getComputedStyle(document.body).fontFamily },
      showlegend: false, hovermode: chart.lane ? "closest" : "x unified", dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
      hoverlabel: { bgcolor: color("card"), bordercolor: color("line"), font: { color: color("ink"), size: 12 } }, barmode: "overlay",
      xaxis: { ...axis, type: "date", range: range.map(moment), tickformat: format, hoverformat: hour ? "%-H:%M:%S" : "%-M:%S.%1f",
        tickformatstops: [{ dtickrange: [null, 999], value: `${format}.%1f` }, { dtickrange: [1000, null], value: format }], nticks: 7 },
      yaxis: chart.lane ? { ...axis, fixedrange: true, showticklabels: false, gridcolor: "rgba(0,0,0,0)" }
        : { ...axis, fixedrange: true, range: chart.limits ? [...chart.limits] : undefined, nticks: 6 },
      shapes: shapesOf(chart),
      annotations: chart.lane ? [] : chart.levels.map(([y, text]) => ({
        xref: "paper", x: 1, xanchor: "right", y, yanchor: "bottom", text, showarrow: false, bgcolor: faint("card", 0.75), borderpad: 1, font: { size: 10, color: color("soft") },
      })),
    };
  };

  let range = [...whole];
  const draw = (plot) => Plotly.react(
    plot.node, plot.chart.lane ? laneTraces(plot.chart) : plot.chart.traces.map((t, i) => ({ ...traceOf(plot.chart, t), visible: plot.hidden.has(i) ? "legendonly" : true })),
    layoutOf(plot.chart, range), { displayModeBar: false, responsive: true, doubleClick: false },
  );
  // What is not in sight is drawn when it comes there: an hour's charts take seconds all together.
  const inSight = new IntersectionObserver((entries) => entries.forEach((entry) => {
    const plot = plots.find((each) => each.node === entry.target);
    plot.seen = entry.isIntersecting;
    if (plot.seen && plot.stale) refresh(plot);
  }), { rootMargin: "200px" });
  const refresh = (plot) => { plot.stale = !plot.seen; if (plot.seen) draw(plot); };
  const drawAll = () => plots.forEach(refresh);

  const laneLegend = (chart) => make("ul", { className: "legend" }, ...[...new Map(chart.spans.map((s) => [s.name, s]))].map(([name, span]) => {
    const swatch = make("i", { className: "block" });
    swatch.style.borderColor = `var(--${colorOf(span)})`;
    return make("li", {}, swatch, name);
  }));

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
      draw(plot);
    });
    return make("li", {}, button);
  }));

  // -- one time axis

  const zoomTo = (from, to) => {
    const length = Math.min(Math.max(to - from, 1000), whole[1]);
    const start = Math.min(Math.max(from, 0), whole[1] - length);
    range = [start, start + length];
    drawAll();
  };
  const toMs = (value) => (typeof value === "number" ? value : Date.parse(`${String(value).replace(" ", "T")}Z`));

  const watch = (plot) => {
    plot.node.on("plotly_relayout", (change) => {
      if (!("xaxis.range[0]" in change)) return; // ours has xaxis.range
      zoomTo(toMs(change["xaxis.range[0]"]), toMs(change["xaxis.range[1]"]));
    });
    plot.node.on("plotly_doubleclick", () => zoomTo(...whole));
    plot.node.on("plotly_hover", (event) => {
      const at = toMs(event.points[0].data.base ? event.xvals[0] : event.points[0].x); // of a bar x is its length
      plots.forEach((each) => {
        const axis = each.node._fullLayout?.xaxis;
        const show = axis && at >= range[0] && at <= range[1];
        each.cursor.style.display = show ? "block" : "none";
        if (show) each.cursor.style.left = `${axis._offset + ((at - range[0]) / (range[1] - range[0])) * axis._length}px`;
      });
    });
    plot.node.on("plotly_unhover", () => plots.forEach((each) => { each.cursor.style.display = "none"; }));
  };

  // The worst second of the end that is shown (phone), else of all.
  const worstSecond = () => content.worst.filter((w) => !phone.matches || w.end === selected)
    .reduce((least, w) => (least === undefined || w.mos_lq < least.mos_lq ? w : least), undefined);
  const zooms = {
    all: () => zoomTo(...whole),
    worst: () => { const w = worstSecond(); if (w) zoomTo(w.start * 1000 - 4000, w.stop * 1000 + 4000); },
    in: () => { const by = (range[1] - range[0]) / 4; zoomTo(range[0] + by, range[1] - by); },
    out: () => { const by = (range[1] - range[0]) / 2; zoomTo(range[0] - by, range[1] + by); },
    left: () => { const by = (range[1] - range[0]) / 2; zoomTo(range[0] - by, range[1] - by); },
    right: () => { const by = (range[1] - range[0]) / 2; zoomTo(range[0] + by, range[1] + by); },
  };

  // -- a phone shows one end at a time

  const phone = matchMedia("(max-width: 760px)");
  let selected = 0;
  const select = (end) => {
    selected = end;
    document.querySelectorAll(".tabs button").forEach((b) => b.setAttribute("aria-selected", String(Number(b.dataset.end) === end)));
    grid.querySelectorAll(".chart").forEach((c) => c.classList.toggle("other", Number(c.dataset.end) !== end));
    if (window.Plotly) plots.filter((p) => p.chart.end === end).forEach((p) => Plotly.Plots.resize(p.node));
  };

  const build = () => {
    for (const chart of content.charts) {
      const plot = { chart, node: make("div"), cursor: make("div", { className: "cursor" }), hidden: new Set() };
      const unit = chart.unit ? make("small", {}, ` ${chart.unit}`) : "";
      const where = content.ends.length > 1 ? `, ${content.ends[chart.end]}` : "";
      const card = make("div", { className: "chart" }, make("h3", { title: chart.note }, `${chart.title}${where}`, unit));
      card.dataset.end = chart.end;
      card.dataset.key = chart.key;
      card.append(chart.lane ? laneLegend(chart) : legendOf(plot));
      plot.node.setAttribute("role", "img");
      plot.node.setAttribute("aria-label", `${chart.title}${where}, over time`);
      plot.node.style.height = chart.lane ? "auto" : "100%";
      const empty = chart.lane ? !chart.spans.length : !chart.traces.length;
      card.append(empty ? make("p", { className: "note" }, chart.lane ? "nothing to tell" : "not measured at this end")
        : make("div", { className: chart.lane ? "plot lane" : "plot" }, plot.node, plot.cursor));
      grid.append(card);
      if (!empty) plots.push(plot);
    }
    plots.forEach((plot) => { draw(plot); watch(plot); inSight.observe(plot.node); });
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

  // -- start

  document.querySelectorAll("details.series").forEach((d) => d.addEventListener("toggle", () => { if (d.open) fill(d); }));
  document.querySelectorAll("[data-seek]").forEach((button) => button.addEventListener("click", () => {
    const audio = button.parentElement.querySelector("audio");
    audio.currentTime = Number(button.dataset.seek);
    audio.play().catch(() => { /* the browser says why beside the player */ });
  }));
  document.getElementById("theme").addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    stored.set(root.dataset.theme);
    if (window.Plotly) drawAll();
  });
  if (!grid) return; // without plotly
  document.querySelectorAll("[data-zoom]").forEach((b) => b.addEventListener("click", zooms[b.dataset.zoom]));
  document.querySelector("[data-zoom=worst]").hidden = !content.worst.length;
  document.querySelectorAll(".tabs button").forEach((b) => b.addEventListener("click", () => select(Number(b.dataset.end))));
  dark.addEventListener("change", drawAll);
  build();

  // The style sheet's colours and widths are already those of paper when this is called.
  const paper = matchMedia("print"); // every chart is on paper
  paper.addEventListener("change", () => plots.forEach((plot) => {
    draw(plot);
    const { clientWidth: width, clientHeight } = plot.node.parentElement;
    const height = plot.chart.lane ? {} : { height: paper.matches ? clientHeight : null };
    Plotly.relayout(plot.node, paper.matches && width ? { width, ...height, autosize: false } : { width: null, ...height, autosize: true });
  }));
  root.dataset.ready = "true";
})();
