//! Drawings as PNG.

use std::path::Path;

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree};

use crate::{Error, Result};

/// Pixels of a picture at the most: 256 MiB while it is drawn, and as much again while it is written.
const MOST_PIXELS: f64 = (1u64 << 26) as f64;

/// Draws SVG without text, `scale` pixels a unit; `path` stands for the picture in messages.
///
/// # Errors
/// It would have too many pixels, or none.
pub(crate) fn png(svg: &str, scale: f32, path: &Path) -> Result<Vec<u8>> {
    let wrong = |error: String| Error::format(path, None, format!("the picture cannot be drawn: {error}"));
    let tree = Tree::from_str(svg, &Options::default()).map_err(|error| wrong(error.to_string()))?;
    let size = tree.size();
    let [width, height] = [size.width(), size.height()].map(|length| (length * scale).round().max(1.0));
    if f64::from(width) * f64::from(height) > MOST_PIXELS {
        let message = format!(
            "the picture would have {width} by {height} pixels, more than {} million: give a shorter region, a smaller --scale, or write .svg",
            MOST_PIXELS as u64 / 1_000_000
        );
        return Err(Error::format(path, None, message));
    }
    let mut pixels =
        Pixmap::new(width as u32, height as u32).ok_or_else(|| wrong("it has no size".into()))?;
    resvg::render(&tree, Transform::from_scale(scale, scale), &mut pixels.as_mut());
    pixels.encode_png().map_err(|error| wrong(error.to_string()))
}
