//! Words as outlines, which need no fonts where the drawing is shown.

use std::fmt::Write;
use std::sync::LazyLock;

use ttf_parser::{Face, OutlineBuilder};

use super::{Anchor, Label};

impl Label<'_> {
    /// Draws the words as paths.
    pub(super) fn draw_outlines(&self, svg: &mut String) {
        let face = &*FACE;
        let mut outline = Outline::default();
        for letter in self.words.chars() {
            let glyph = face.glyph_index(letter).or_else(|| face.glyph_index('?')).unwrap_or_default();
            face.outline_glyph(glyph, &mut outline);
            outline.x += f32::from(face.glyph_hor_advance(glyph).unwrap_or(0));
        }
        if outline.path.is_empty() {
            return;
        }
        let scale = self.size / f64::from(face.units_per_em());
        let back = match self.anchor {
            Anchor::Start => 0.0,
            Anchor::Middle => f64::from(outline.x) / 2.0,
            Anchor::End => f64::from(outline.x),
        };
        let turn = if self.turned { " rotate(-90)" } else { "" };
        // A light face is drawn with a pen, the broader one for bold.
        let pen = f64::from(face.units_per_em()) * if self.bold { 0.06 } else { 0.015 };
        let _ = write!(
            svg,
            "<path transform=\"translate({:.2} {:.2}){turn} scale({scale:.5} {:.5}) translate({:.1} 0)\" fill=\"{color}\" \
             stroke=\"{color}\" stroke-width=\"{pen:.1}\" d=\"{}\"/>",
            self.at.0,
            self.at.1,
            -scale,
            -back,
            outline.path,
            color = self.color
        );
    }
}

/// Ubuntu Light, which has Latin, Greek and Cyrillic.
static FACE: LazyLock<Face<'static>> =
    LazyLock::new(|| Face::parse(epaint_default_fonts::UBUNTU_LIGHT, 0).expect("the font is whole"));

/// Letters as a path, in units of the font, upwards.
#[derive(Default)]
struct Outline {
    path: String,
    /// Start of the next letter.
    x: f32,
}

impl Outline {
    fn add(&mut self, command: char, points: &[(f32, f32)]) {
        self.path.push(command);
        for (rank, (x, y)) in points.iter().enumerate() {
            let blank = if rank > 0 { " " } else { "" };
            let _ = write!(self.path, "{blank}{} {y}", x + self.x);
        }
    }
}

impl OutlineBuilder for Outline {
    fn move_to(&mut self, x: f32, y: f32) {
        self.add('M', &[(x, y)]);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        self.add('L', &[(x, y)]);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        self.add('Q', &[(x1, y1), (x, y)]);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        self.add('C', &[(x1, y1), (x2, y2), (x, y)]);
    }

    fn close(&mut self) {
        self.path.push('Z');
    }
}
