//! Undoes content codings, within bounds. Pure.
//!
//! `gzip`, `deflate` and `br`. A text that decodes to more than 100 times its length is refused as
//! a bomb, and every decoded byte takes a step from the budget.

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use std::io::Read;

/// Decoded bytes that no ratio is asked of: small repetitive texts compress very well.
const EXEMPT_BYTES: u64 = 64 * 1024;

/// Codings of one body that are undone.
const CODINGS_MAX: usize = 4;

/// Why a body could not be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// An unknown coding, damaged data, or a bomb.
    Undecodable,
    /// More bytes than the budget has steps; so many were decoded.
    Exhausted(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Gzip,
    Deflate,
    Brotli,
}

/// Returns the codings of a body in the order they were applied, or nothing if one is unknown.
pub(crate) fn codings(headers: &HeaderMap) -> Option<Vec<Coding>> {
    let mut codings = Vec::new();
    for value in headers.get_all(CONTENT_ENCODING) {
        for name in value.as_bytes().split(|b| *b == b',') {
            match name.trim_ascii().to_ascii_lowercase().as_slice() {
                b"" | b"identity" => {}
                b"gzip" | b"x-gzip" => codings.push(Coding::Gzip),
                b"deflate" => codings.push(Coding::Deflate),
                b"br" => codings.push(Coding::Brotli),
                _ => return None,
            }
        }
    }
    (codings.len() <= CODINGS_MAX).then_some(codings)
}

/// Undoes all codings of a body. `ratio` bounds decoded bytes for each encoded one, `steps` the
/// decoded bytes in all.
pub(crate) fn decode(
    headers: &HeaderMap,
    body: &Bytes,
    ratio: u32,
    steps: u64,
) -> Result<Bytes, Failure> {
    let codings = codings(headers).ok_or(Failure::Undecodable)?;
    let bomb = (body.len() as u64)
        .saturating_mul(u64::from(ratio))
        .max(EXEMPT_BYTES);
    let mut body = body.clone();
    let mut spent = 0;
    for coding in codings.into_iter().rev() {
        // An answer without a body may still name a coding.
        if body.is_empty() {
            return Ok(body);
        }
        let left = steps.saturating_sub(spent);
        body = match coding {
            Coding::Gzip => read(flate2::bufread::MultiGzDecoder::new(&*body), bomb, left),
            // Named "deflate", sent with the zlib frame or, by some, without.
            Coding::Deflate => match read(flate2::bufread::ZlibDecoder::new(&*body), bomb, left) {
                Err(Failure::Undecodable) => {
                    read(flate2::bufread::DeflateDecoder::new(&*body), bomb, left)
                }
                decoded => decoded,
            },
            Coding::Brotli => read(brotli::Decompressor::new(&*body, 8 * 1024), bomb, left),
        }?;
        spent += body.len() as u64;
    }
    Ok(body)
}

fn read(source: impl Read, bomb: u64, steps: u64) -> Result<Bytes, Failure> {
    let limit = bomb.min(steps);
    let mut decoded = Vec::new();
    let outcome = source
        .take(limit.saturating_add(1))
        .read_to_end(&mut decoded);
    let len = decoded.len() as u64;
    match outcome {
        Err(_) => Err(Failure::Undecodable),
        Ok(_) if len > bomb => Err(Failure::Undecodable),
        Ok(_) if len > steps => Err(Failure::Exhausted(len)),
        Ok(_) => Ok(Bytes::from(decoded)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use std::io::Write;

    fn headers(coding: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static(coding))])
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn br(text: &[u8]) -> Vec<u8> {
        let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 20);
        encoder.write_all(text).unwrap();
        encoder.into_inner()
    }

    fn run(coding: &'static str, body: Vec<u8>) -> Result<Bytes, Failure> {
        decode(&headers(coding), &Bytes::from(body), 100, 5_000_000)
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        let text = b"hello hello hello".to_vec();
        assert_eq!(run("gzip", gzip(&text)).unwrap(), text);
        assert_eq!(run("br", br(&text)).unwrap(), text);
        assert_eq!(run("gzip, br", br(&gzip(&text))).unwrap(), text);
        assert_eq!(run("identity", text.clone()).unwrap(), text);
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        zlib.write_all(&text).unwrap();
        assert_eq!(run("deflate", zlib.finish().unwrap()).unwrap(), text);
        let mut raw = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        raw.write_all(&text).unwrap();
        assert_eq!(run("deflate", raw.finish().unwrap()).unwrap(), text);
        assert_eq!(run("gzip", Vec::new()).unwrap(), "");
    }

    #[test]
    fn damaged_cut_and_unknown_is_undecodable() {
        let text = b"hello hello hello".repeat(50);
        for (coding, mut body) in [("gzip", gzip(&text)), ("br", br(&text))] {
            body.truncate(body.len() - 4);
            assert_eq!(run(coding, body), Err(Failure::Undecodable), "{coding}");
            assert_eq!(
                run(coding, text.clone()),
                Err(Failure::Undecodable),
                "{coding}"
            );
        }
        assert_eq!(run("zstd", gzip(&text)), Err(Failure::Undecodable));
    }

    #[test]
    fn a_bomb_is_refused_and_a_long_text_takes_steps() {
        assert_eq!(
            run("gzip", gzip(&vec![0; 4 << 20])),
            Err(Failure::Undecodable)
        );
        assert_eq!(run("br", br(&vec![0; 4 << 20])), Err(Failure::Undecodable));
        assert_eq!(run("gzip", gzip(&vec![0; 60_000])).unwrap().len(), 60_000);
        let body = Bytes::from(gzip(b"0123456789"));
        assert_eq!(
            decode(&headers("gzip"), &body, 100, 9),
            Err(Failure::Exhausted(10))
        );
    }
}
