//! How a plugin is started: environment, subprocess, hooks.
