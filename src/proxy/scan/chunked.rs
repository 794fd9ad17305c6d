//! A body in chunks (RFC 9112 section 7.1), byte by byte, and its data at a stride.

use super::Bounds;
use super::Reason;
use super::bytes;
use super::bytes::TOKEN;
use super::bytes::VALUE;

/// Digits of a size.
const DIGITS: u8 = 16;
/// Bytes of one chunk's extension.
const EXTENSION: u32 = 256;
/// Bytes of a body's extensions, which are dropped: what is here for no purpose must be little.
const EXTENSIONS: u32 = 8 << 10;
/// Bytes of the trailers.
const TRAILERS: usize = 16 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Size,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Line,
    Name,
    Value,
    ValueLf,
    EndLf,
}

/// Where in such a body we are.
#[derive(Clone, Debug)]
pub(super) struct Chunked {
    place: Place,
    left: u64,
    digits: u8,
    extension: u32,
    extensions: u32,
    trailers: usize,
    fields: usize,
}

impl Chunked {
    pub(super) fn new() -> Self {
        Self {
            place: Place::Size,
            left: 0,
            digits: 0,
            extension: 0,
            extensions: 0,
            trailers: 0,
            fields: 0,
        }
    }

    /// Reads on and returns how many bytes belong to the body and whether it ended with them. On
    /// refusal the bytes before the bad one may pass.
    pub(super) fn read(&mut self, bytes: &[u8], bounds: &Bounds) -> (usize, Result<bool, Reason>) {
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            if self.place == Place::Data {
                let here = bytes.len() - at;
                let skip = usize::try_from(self.left).map_or(here, |left| left.min(here));
                self.left -= skip as u64;
                at += skip;
                if self.left == 0 {
                    self.place = Place::DataCr;
                }
                continue;
            }
            match self.step(*byte, bounds) {
                Ok(false) => at += 1,
                Ok(true) => return (at + 1, Ok(true)),
                Err(reason) => return (at, Err(reason)),
            }
        }
        (at, Ok(false))
    }

    fn step(&mut self, byte: u8, bounds: &Bounds) -> Result<bool, Reason> {
        self.place = match (self.place, byte) {
            (Place::Size, b'\r') if self.digits > 0 => Place::SizeLf,
            (Place::Size, b';') if self.digits > 0 => Place::Extension,
            (Place::Size, b'\n') => return Err(Reason::BareLf),
            (Place::Size, _) => {
                let digit = char::from(byte).to_digit(16).ok_or(Reason::ChunkSize)?;
                self.digits += 1;
                if self.digits > DIGITS {
                    return Err(Reason::ChunkSize);
                }
                self.left = self.left << 4 | u64::from(digit);
                Place::Size
            }
            (Place::Extension, b'\r') => Place::SizeLf,
            (Place::Extension, _) => self.extension(byte)?,
            (Place::SizeLf, b'\n') => {
                (self.digits, self.extension) = (0, 0);
                if self.left == 0 {
                    Place::Line
                } else {
                    Place::Data
                }
            }
            (Place::DataCr, b'\r') => Place::DataLf,
            (Place::DataLf, b'\n') => Place::Size,
            (Place::Data | Place::DataCr | Place::DataLf, _) => return Err(Reason::ChunkEnd),
            (Place::EndLf, b'\n') => return Ok(true),
            (Place::SizeLf | Place::EndLf, _) => return Err(Reason::BareCr),
            (Place::Line | Place::Name | Place::Value | Place::ValueLf, _) => {
                self.trailer(byte, bounds)?
            }
        };
        Ok(false)
    }

    fn extension(&mut self, byte: u8) -> Result<Place, Reason> {
        self.extension += 1;
        self.extensions += 1;
        match byte {
            b'\n' => Err(Reason::BareLf),
            _ if !bytes::is(byte, VALUE) => Err(Reason::ChunkExtension),
            _ if self.extension > EXTENSION || self.extensions > EXTENSIONS => {
                Err(Reason::ChunkExtension)
            }
            _ => Ok(Place::Extension),
        }
    }

    fn trailer(&mut self, byte: u8, bounds: &Bounds) -> Result<Place, Reason> {
        self.trailers += 1;
        if self.trailers > TRAILERS.min(bounds.head) {
            return Err(Reason::TrailersLarge);
        }
        match (self.place, byte) {
            (Place::Line, b'\r') => Ok(Place::EndLf),
            (Place::Line, b' ' | b'\t') => Err(Reason::Fold),
            (Place::Line | Place::Name, _) if bytes::is(byte, TOKEN) => Ok(Place::Name),
            (Place::Name, b':') => Ok(Place::Value),
            (Place::Value, b'\r') => Ok(Place::ValueLf),
            (Place::Value, _) if bytes::is(byte, VALUE) => Ok(Place::Value),
            (Place::ValueLf, b'\n') => {
                self.fields += 1;
                if self.fields > bounds.fields {
                    return Err(Reason::TrailersLarge);
                }
                Ok(Place::Line)
            }
            (Place::ValueLf, _) => Err(Reason::BareCr),
            (_, b'\n') => Err(Reason::BareLf),
            (Place::Value, 0) => Err(Reason::Nul),
            (Place::Value, _) => Err(Reason::Control),
            (_, _) => Err(Reason::Trailer),
        }
    }
}
