"""How good a call was: statistics, models and the report. Sans-IO."""
