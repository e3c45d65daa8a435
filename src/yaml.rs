//! YAML of others, read strictly: located, budgeted, without duplicates. The one place that knows the parser.
