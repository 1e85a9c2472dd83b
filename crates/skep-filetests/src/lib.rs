//! Runs the text tests under filetests/.
