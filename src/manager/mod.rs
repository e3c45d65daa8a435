//! The verbs: install, uninstall, list, info, verify.
