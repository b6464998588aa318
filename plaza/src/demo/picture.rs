//! Pictures of what doesn't exist: head and shoulders before a sky, fields under the sun, in colours that the name
//! decides.

use std::io::Cursor;

use image::{ImageFormat, Rgb, RgbImage};

const SIZE: u32 = 256;

/// A PNG.
pub(crate) fn portrait(name: &str) -> Vec<u8> {
    let [a, b, c, d, ..] = kit::seal::sha256(name.as_bytes());
    let (sky, coat) = (colour(a), colour(a.wrapping_add(96).wrapping_add(b / 4)));
    let skin = mix(Rgb([255, 219, 180]), Rgb([110, 70, 45]), f32::from(c) / 255.0);
    let hair = mix(Rgb([35, 25, 20]), Rgb([190, 150, 90]), f32::from(d) / 255.0);

    let picture = RgbImage::from_fn(SIZE, SIZE, |x, y| {
        let (x, y) = (x as f32 / SIZE as f32, y as f32 / SIZE as f32);
        // How far inside an ellipse about (cx, cy), softened by about a pixel.
        let inside = |cx: f32, cy: f32, rx: f32, ry: f32| {
            let far = (((x - cx) / rx).powi(2) + ((y - cy) / ry).powi(2)).sqrt();
            ((1.0 - far) * rx * SIZE as f32).clamp(0.0, 1.0)
        };
        let back = mix(sky, Rgb([255, 255, 255]), 0.25 + 0.5 * y);
        let with_coat = mix(back, coat, inside(0.5, 1.05, 0.40, 0.34));
        let with_neck = mix(with_coat, skin, inside(0.5, 0.68, 0.08, 0.12));
        let with_hair = mix(with_neck, hair, inside(0.5, 0.38, 0.205, 0.235));
        mix(with_hair, skin, inside(0.5, 0.43, 0.165, 0.20))
    });
    let mut png = Cursor::new(Vec::new());
    picture.write_to(&mut png, ImageFormat::Png).expect("memory takes a picture of any size");
    png.into_inner()
}

/// A field under the sun, as a PNG: what stands on ads until somebody takes a photograph.
pub(crate) fn landscape(name: &str) -> Vec<u8> {
    const WIDTH: u32 = 320;
    const HEIGHT: u32 = 240;
    let [a, b, c, d, ..] = kit::seal::sha256(name.as_bytes());
    let (sky, field) = (mix(Rgb([120, 180, 230]), colour(a), 0.25), mix(Rgb([90, 150, 60]), colour(b), 0.3));
    let (hills, sun) = (mix(field, Rgb([40, 70, 50]), 0.5), Rgb([255, 225, 130]));
    let (phase, at) = (f32::from(c) / 40.0, 0.15 + 0.7 * f32::from(d) / 255.0);

    let picture = RgbImage::from_fn(WIDTH, HEIGHT, |x, y| {
        let (x, y) = (x as f32 / WIDTH as f32, y as f32 / HEIGHT as f32);
        // How far below a line, softened by about a pixel.
        let below = |line: f32| ((y - line) * HEIGHT as f32).clamp(0.0, 1.0);
        let far = ((x - at).powi(2) * 1.78 + (y - 0.22).powi(2)).sqrt();
        let air = mix(mix(sky, Rgb([255, 255, 255]), y), sun, ((0.09 - far) * HEIGHT as f32).clamp(0.0, 1.0));
        let with_hills = mix(air, hills, below(0.52 + 0.07 * (x * 9.0 + phase).sin()));
        let furrow = 0.12 * ((x - 0.5) / (y - 0.45).max(0.05) * 14.0 + phase).sin();
        mix(with_hills, mix(field, Rgb([60, 45, 25]), 0.2 + furrow), below(0.64))
    });
    let mut png = Cursor::new(Vec::new());
    picture.write_to(&mut png, ImageFormat::Png).expect("memory takes a picture of any size");
    png.into_inner()
}

/// A friendly colour for every byte, all equally strong.
fn colour(hue: u8) -> Rgb<u8> {
    let channel = |shift: f32| {
        let angle = (f32::from(hue) / 255.0 + shift) * std::f32::consts::TAU;
        (140.0 + 75.0 * angle.cos()) as u8
    };
    Rgb([channel(0.0), channel(1.0 / 3.0), channel(2.0 / 3.0)])
}

fn mix(from: Rgb<u8>, to: Rgb<u8>, share: f32) -> Rgb<u8> {
    Rgb(std::array::from_fn(|i| (f32::from(from[i]) * (1.0 - share) + f32::from(to[i]) * share).round() as u8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_portrait_is_a_picture_and_always_the_same() {
        let png = portrait("Ana Ejemplo");
        assert_eq!(png, portrait("Ana Ejemplo"));
        assert_ne!(png, portrait("Bruno Muestra"));
        assert_eq!(image::load_from_memory(&png).unwrap().width(), SIZE);
    }
}
