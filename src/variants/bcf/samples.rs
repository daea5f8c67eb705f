//! The samples of a record of VCF in the form of BCF (VCF specification, section 6.3.3).
//!
//! They are written here from the text of VCF, value by value. The library's own encoder knows no genotypes of different
//! ploidy in one record, no phase of a missing allele, and no column without a value.

use noodles::vcf;
use noodles::vcf::header::StringMaps;
use noodles::vcf::header::record::value::map::format::Type;

/// Codes of the types of values.
const INT8: u8 = 1;
const INT16: u8 = 2;
const INT32: u8 = 3;
const FLOAT: u8 = 5;
const TEXT: u8 = 7;

/// Bits of a missing float, and of what stands behind the last one of a list.
const MISSING_FLOAT: u32 = 0x7f80_0001;
const END_FLOAT: u32 = 0x7f80_0002;

/// A number of a list: `None` is a missing one.
type Number<T> = Option<T>;

/// Appends the values of all samples, field by field, and returns the number of fields. `format` and `samples` are columns of
/// a line of VCF below the header, whose names have numbers by these maps.
///
/// # Errors
/// The field that the header does not define, or the value that is none of its type.
pub(super) fn encode(
    (header, maps): (&vcf::Header, &StringMaps),
    format: &str,
    samples: &[&str],
    out: &mut Vec<u8>,
) -> Result<u8, String> {
    let mut fields: u8 = 0;
    for (rank, key) in format.split(':').enumerate() {
        let place = maps.strings().get_index_of(key);
        let (Some(place), Some(field)) = (place, header.formats().get(key)) else {
            return Err(format!("FORMAT {key} is not defined in the header"));
        };
        let place = i32::try_from(place).map_err(|_| "the header defines too many fields")?;
        // A field that is left out at the end of a sample is a missing one.
        let values: Vec<&str> =
            samples.iter().map(|sample| sample.split(':').nth(rank).unwrap_or(".")).collect();
        let wrong = |value: &str| format!("the {key} `{value}` is not of the type that the header gives");
        write_integers(&[vec![Some(place)]], out).ok_or("the header defines too many fields")?;
        match field.ty() {
            _ if key == "GT" => {
                let lists = lists(&values, |genotype| alleles(genotype).ok_or_else(|| wrong(genotype)))?;
                write_integers(&lists, out).ok_or_else(|| wrong(values.first().unwrap_or(&".")))?;
            }
            Type::Integer => {
                let lists = lists(&values, |list| numbers(list).ok_or_else(|| wrong(list)))?;
                write_integers(&lists, out).ok_or_else(|| wrong("number below -2147483640"))?;
            }
            Type::Float => {
                let lists = lists(&values, |list| numbers(list).ok_or_else(|| wrong(list)))?;
                write_floats(&lists, out);
            }
            Type::Character | Type::String => write_texts(&values, out),
        }
        fields = fields.checked_add(1).ok_or("it has more than 255 fields a sample")?;
    }
    Ok(fields)
}

/// The list of each sample.
fn lists<'a, T>(
    values: &[&'a str],
    parse: impl Fn(&'a str) -> Result<Vec<Number<T>>, String>,
) -> Result<Vec<Vec<Number<T>>>, String> {
    values.iter().map(|value| parse(value)).collect()
}

/// A list of numbers.
fn numbers<T: std::str::FromStr>(list: &str) -> Option<Vec<Number<T>>> {
    let number = |text: &str| if text == "." { Some(None) } else { text.parse().ok().map(Some) };
    list.split(',').map(number).collect()
}

/// Alleles of a genotype: twice their number and 2 (0 for a missing one), and 1 if it is phased with the one before.
fn alleles(genotype: &str) -> Option<Vec<Number<i32>>> {
    // The first one has a sign of its own from version 4.4 on.
    let has_sign = genotype.starts_with(['/', '|']);
    let mut rest = if has_sign { genotype } else { &format!("/{genotype}") };
    let mut alleles = Vec::new();
    while let Some(sign) = rest.chars().next() {
        let end = rest[1..].find(['/', '|']).map_or(rest.len(), |end| end + 1);
        let allele = match &rest[1..end] {
            "." => 0,
            number => number.parse::<u16>().ok().map(|number| 2 * (i32::from(number) + 1))?,
        };
        alleles.push(Some(allele + i32::from(sign == '|')));
        rest = &rest[end..];
    }
    Some(alleles)
}

/// Appends the type and length of what follows.
fn write_type(code: u8, length: usize, out: &mut Vec<u8>) {
    /// Lengths from this one on stand behind the type.
    const LONG: usize = 15;
    out.push((length.min(LONG) as u8) << 4 | code);
    if length >= LONG {
        let length = i32::try_from(length).unwrap_or(i32::MAX);
        write_integers(&[vec![Some(length)]], out);
    }
}

/// Appends lists of integers in as few bytes as hold them; the shorter ones are filled up. `None` if one of them is too low.
fn write_integers(lists: &[Vec<Number<i32>>], out: &mut Vec<u8>) -> Option<()> {
    let all = || lists.iter().flatten().copied().flatten();
    let (lowest, highest) = (all().min().unwrap_or(0), all().max().unwrap_or(0));
    // The lowest eight numbers of each width stand for something else.
    let holds = |low: i32, high: i32| lowest >= low + 8 && highest <= high;
    let length = lists.iter().map(Vec::len).max().unwrap_or(1);
    let (code, bytes) = match () {
        () if holds(i8::MIN.into(), i8::MAX.into()) => (INT8, 1),
        () if holds(i16::MIN.into(), i16::MAX.into()) => (INT16, 2),
        () if holds(i32::MIN, i32::MAX) => (INT32, 4),
        () => return None,
    };
    let missing = match code {
        INT8 => i8::MIN.into(),
        INT16 => i16::MIN.into(),
        _ => i32::MIN,
    };
    write_type(code, length, out);
    for list in lists {
        for place in 0..length {
            let number = list.get(place).map_or(missing + 1, |number| number.unwrap_or(missing));
            out.extend_from_slice(&number.to_le_bytes()[..bytes]);
        }
    }
    Some(())
}

/// As [`write_integers`], for floats.
fn write_floats(lists: &[Vec<Number<f32>>], out: &mut Vec<u8>) {
    let length = lists.iter().map(Vec::len).max().unwrap_or(1);
    write_type(FLOAT, length, out);
    for list in lists {
        for place in 0..length {
            let bits = list.get(place).map_or(END_FLOAT, |number| number.map_or(MISSING_FLOAT, f32::to_bits));
            out.extend_from_slice(&bits.to_le_bytes());
        }
    }
}

/// Appends texts; the shorter ones are filled up with zeros.
fn write_texts(values: &[&str], out: &mut Vec<u8>) {
    let length = values.iter().map(|value| value.len()).max().unwrap_or(1);
    write_type(TEXT, length, out);
    for value in values {
        out.extend_from_slice(value.as_bytes());
        out.resize(out.len() + length - value.len(), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn genotypes_keep_their_ploidy_and_phase() {
        let header = "##fileformat=VCFv4.3\n##FORMAT=<ID=GT,Number=1,Type=String,Description=\"g\">\n\
            #CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ta\tb\tc\td\n";
        let header: vcf::Header = header.parse().unwrap();
        let maps = StringMaps::try_from(&header).unwrap();
        let header = (&header, &maps);
        let mut out = Vec::new();
        let samples = ["0/1/1", "1|.", ".", "0|1:7"];
        assert_eq!(encode(header, "GT", &samples, &mut out), Ok(1));
        // Place of GT in the table of texts (PASS is the first), then three numbers of eight bits a sample.
        let want = [0x11, 1, 0x31, 2, 4, 4, 4, 1, 0x81, 0, 0x81, 0x81, 2, 5, 0x81];
        assert_eq!(out, want);
        assert!(encode(header, "GT:DP", &samples, &mut out).unwrap_err().contains("FORMAT DP"));
        for wrong in ["0/", "a", "", "0//1", "-1"] {
            let error = encode(header, "GT", &[wrong; 4], &mut out).unwrap_err();
            assert!(error.contains(&format!("GT `{wrong}`")), "{error}");
        }
    }

    #[test]
    fn numbers_take_as_few_bytes_as_hold_them() {
        for (number, code, bytes) in [
            (-120, INT8, 1),
            (127, INT8, 1),
            (-121, INT16, 2),
            (128, INT16, 2),
            (-32_760, INT16, 2),
            (-32_761, INT32, 4),
            (i32::MAX, INT32, 4),
        ] {
            let mut out = Vec::new();
            write_integers(&[vec![Some(number), None], vec![Some(0)]], &mut out).unwrap();
            assert_eq!((out[0], out.len()), (0x20 | code, 1 + 4 * bytes), "{number}");
        }
        assert_eq!(write_integers(&[vec![Some(i32::MIN + 7)]], &mut Vec::new()), None);
        let mut out = Vec::new();
        write_texts(&["a", "abcdefghijklmnop", "."], &mut out);
        assert_eq!(out[..3], [0xf7, 0x11, 16]);
        assert_eq!(out.len(), 3 + 3 * 16);
    }
}
