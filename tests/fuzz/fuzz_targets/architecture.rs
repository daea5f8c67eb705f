//! Any text is a network that fits a window, or an error: no panic, no memory beyond its description.
#![no_main]

use bindscan::train::layers::Architecture;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(architecture) = Architecture::parse(text) {
        for window in [1, 101, 1 << 20] {
            let _ = architecture.shapes(window);
        }
    }
});
