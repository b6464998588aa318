//! Phone numbers: the text is read as groups of digits, however each is written, and groups with little between them
//! as one number. Whether that is a phone follows from its length and beginning, as Argentina, Nicaragua and their
//! neighbours have them, and from the nearest word that says what it is (`cel`, `factura`). What stands further apart is
//! read again by `chain`, and what is told in several messages by `pieces`; both ask for more.

mod chain;
pub(super) mod pieces;
mod said;

use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::regex;

/// Whether the plain text tells one.
pub(super) fn told(plain: &str) -> bool {
    let masked = without_amounts(plain);
    let tokens = read(&masked, &TOKEN);
    numbers(&tokens).iter().any(|number| number.is_phone(&tokens)) || chain::told(&masked)
}

/// Stands for what is no part of a phone, and ends a number.
const MASK: &str = " \u{1} ";

/// Prices, dates, times, ids, and the numbers of taxpayers and invoices have a form of their own.
fn without_amounts(plain: &str) -> String {
    let form = |found: &Captures<'_>| match (found.name("money"), found.name("colons")) {
        // No time has four parts.
        (_, Some(colons)) => colons.as_str().replace(':', " "),
        (Some(money), _) => unpriced(money.as_str()).map_or_else(|| MASK.to_owned(), |digits| format!(" {digits} ")),
        _ => MASK.to_owned(),
    };
    let rest = FORMS.replace_all(plain, form);
    let amount = |found: &Captures<'_>| if AMOUNT.is_match(&found[0]) { MASK.to_owned() } else { found[0].to_owned() };
    FIGURE.replace_all(&rest, amount).into_owned()
}

/// The digits of what is written like a price and is none: nobody writes one of nine digits and more in one piece, nor
/// `0142 pesos` or `11 5550 4142 pesos`.
fn unpriced(money: &str) -> Option<&str> {
    if let Some(long) = LONG.find(money) {
        return Some(long.as_str());
    }
    let digits = money.trim_matches(|c: char| !c.is_ascii_digit());
    let groups: Vec<_> = digits.split(' ').filter(|group| !group.is_empty()).collect();
    let length: usize = groups.iter().map(|group| group.len()).sum();
    let (last, others) = groups.split_last()?;
    let thousands = !others.is_empty() && groups[1..].iter().all(|group| group.len() == 3);
    let zero = groups.iter().any(|group| group.len() > 2 && group.starts_with('0'));
    let parted = !others.is_empty() && length >= 10 && last.len() == 4 && !last.ends_with("00");
    Some(digits).filter(|digits| !digits.contains(['.', ',']) && !thousands && (zero || parted))
}

static FORMS: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?x)
        \b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b
        | (?P<colons>\b\d\d?(?::\d\d?){3,}\b)
        | (?P<money>(?:\$|\busd|\bars)\s*[\d.,]*\d
            | \b\d[\d.,\x20]{0,20}\s*(?:mil|millon|millones|pesos|dolares|cordobas|usd|lucas|palos)\b)
        | \b(?:0?[1-9]|[12]\d|3[01])[/.-](?:0?[1-9]|1[0-2])[/.-](?:19|20)\d\d\b
        | \b(?:19|20)\d\d[/.-]?(?:0[1-9]|1[0-2])[/.-]?(?:0[1-9]|[12]\d|3[01])\b
        | \b(?:[01]?\d|2[0-3])(?::[0-5]\d\b|[.][0-5]\d\s*(?:hs?|am|pm)\b)
        | \b(?:20|23|24|25|26|27|30|33|34)[ -]?\d{8}[ -]?\d\b
        | \b0\d{3,4}-\d{8}\b",
    )
});

static LONG: LazyLock<Regex> = LazyLock::new(|| regex(r"\d{9,}"));
static FIGURE: LazyLock<Regex> = LazyLock::new(|| regex(r"\d+(?:[.,]\d+)*"));
/// `12.000,50` and `3,20`.
static AMOUNT: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"^(?:\d{1,3}(?:\.\d{3})+(?:,\d{1,2})?|\d{1,3}(?:,\d{3})+(?:\.\d{1,2})?|\d{1,3}[.,]\d{1,2})$")
});

#[derive(Debug)]
enum Token<'a> {
    Digits(Group),
    Word(&'a str),
    Gap(&'a str),
}

/// Digits that stand together.
#[derive(Clone, Debug)]
struct Group {
    digits: String,
    how: How,
}

impl Group {
    /// Whether it is words for so many digits.
    fn said(&self, length: std::ops::RangeInclusive<usize>) -> bool {
        self.how == How::Said && length.contains(&self.digits.len())
    }

    /// Whether it is words for so many digits, and may stand for the zeros at the end of these.
    fn ends(&self, digits: &str, length: usize) -> bool {
        self.said(length..=length) && !self.digits.starts_with('0') && digits.ends_with(&"00"[..length])
    }

    /// Nobody measures or pays `0142`.
    fn begins_with_zero(&self) -> bool {
        self.digits.len() > 1 && self.digits.starts_with('0')
    }

    /// What is measured and paid often ends so.
    fn ends_with(&self, zeros: &str) -> bool {
        self.digits.len() > 2 && !self.begins_with_zero() && self.digits.ends_with(zeros)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Written,
    /// `once`.
    Said,
    /// `2O2`: letters that look like digits.
    Disguised,
    /// `10l`, which is a measure unless others around it are disguised.
    Measure,
}

static TOKEN: LazyLock<Regex> = LazyLock::new(|| regex(r"[a-z0-9]+|[^a-z0-9]+"));

fn read<'a>(plain: &'a str, pattern: &Regex) -> Vec<Token<'a>> {
    let mut tokens = Vec::new();
    for token in pattern.find_iter(plain) {
        let text = token.as_str();
        if !text.as_bytes()[0].is_ascii_alphanumeric() {
            tokens.push(Token::Gap(text));
            continue;
        }
        let Some(mut group) = group(text) else {
            match (&mut tokens[..], said::several(text)) {
                // Tres cincos.
                ([.., Token::Digits(times), Token::Gap(_)], Some(digit))
                    if matches!(&*times.digits, "2" | "3" | "4") =>
                {
                    let times_of = times.digits.parse().unwrap_or(1);
                    *times = Group { digits: digit.repeat(times_of), how: How::Said };
                    tokens.pop();
                }
                _ => tokens.push(Token::Word(text)),
            }
            continue;
        };
        match &tokens[..] {
            // Treinta y dos, ciento treinta y dos.
            [.., Token::Digits(tens), Token::Gap(_), Token::Word("y"), Token::Gap(_)]
                if tens.said(2..=5) && group.ends(&tens.digits, 1) && !tens.digits.ends_with("00") =>
            {
                group.digits.insert_str(0, &tens.digits[..tens.digits.len() - 1]);
                tokens.truncate(tokens.len() - 4);
            }
            // Ciento treinta.
            [.., Token::Digits(hundreds), Token::Gap(gap)]
                if hundreds.said(3..=5)
                    && (group.ends(&hundreds.digits, 1) || group.ends(&hundreds.digits, 2))
                    && hundreds.digits.ends_with("00")
                    && gap.trim().is_empty() =>
            {
                group.digits.insert_str(0, &hundreds.digits[..hundreds.digits.len() - group.digits.len()]);
                tokens.truncate(tokens.len() - 2);
            }
            // Cinco mil quinientos.
            [.., Token::Digits(thousands), Token::Gap(_), Token::Word("mil"), Token::Gap(_)]
                if thousands.said(1..=2) && group.said(3..=3) =>
            {
                group.digits.insert_str(0, &thousands.digits);
                tokens.truncate(tokens.len() - 4);
            }
            [.., Token::Word(times @ ("doble" | "triple")), Token::Gap(_)] => {
                group.digits = group.digits.repeat(if *times == "doble" { 2 } else { 3 });
                group.how = How::Said;
                tokens.truncate(tokens.len() - 2);
            }
            _ => {}
        }
        tokens.push(Token::Digits(group));
    }
    tokens
}

/// The digits that a word means.
fn group(word: &str) -> Option<Group> {
    let group = |digits: String, how| Some(Group { digits, how });
    if word.bytes().all(|b| b.is_ascii_digit()) {
        return group(word.to_owned(), How::Written);
    }
    if let Some(digits) = said::digits(word) {
        return group(digits, How::Said);
    }
    let read = word.bytes().map(looks_like).collect::<Option<String>>()?;
    let letter = |b: &u8| b.is_ascii_alphabetic();
    let letters = word.bytes().filter(|b| letter(b)).count();
    if letters == word.len() {
        return None;
    }
    let last_only = letters == 1 && word.as_bytes().last().is_some_and(|b| letter(b) && *b != b'o');
    group(read, if last_only { How::Measure } else { How::Disguised })
}

fn looks_like(b: u8) -> Option<char> {
    match b {
        b'o' => Some('0'),
        b'i' | b'l' => Some('1'),
        b'z' => Some('2'),
        b's' => Some('5'),
        b'b' => Some('8'),
        b'0'..=b'9' => Some(b.into()),
        _ => None,
    }
}

/// Words that stand between parts of one number.
const BETWEEN: &[&str] =
    &["guion", "raya", "barra", "coma", "espacio", "punto", "despues", "luego", "sigue", "seguido", "termina", "medio"];

/// Groups with little between them.
#[derive(Debug)]
struct Number<'a> {
    groups: Vec<&'a Group>,
    /// Its first and last token.
    first: usize,
    last: usize,
    /// Whether a `+` stands before it.
    plus: bool,
}

fn numbers<'a>(tokens: &'a [Token<'_>]) -> Vec<Number<'a>> {
    let disguised = tokens.iter().any(|token| matches!(token, Token::Digits(group) if group.how == How::Disguised));
    let mut numbers: Vec<Number<'a>> = Vec::new();
    // Whether the next group goes on with the last number.
    let mut open = false;
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::Digits(group) if group.how == How::Measure && !disguised => open = false,
            Token::Digits(group) => {
                let gap = match at.checked_sub(1).map(|before| &tokens[before]) {
                    Some(Token::Gap(gap)) => gap,
                    _ => "",
                };
                match numbers.last_mut() {
                    Some(number) if open && !lists(gap, number.groups[number.groups.len() - 1], group) => {
                        number.groups.push(group);
                        number.last = at;
                    }
                    _ => {
                        let plus = gap.trim_end().ends_with('+');
                        numbers.push(Number { groups: vec![group], first: at, last: at, plus });
                    }
                }
                open = true;
            }
            Token::Gap(gap) => open &= !parts(gap),
            Token::Word("y") => {
                let next = tokens.get(at + 2);
                open &= matches!(next, Some(Token::Word(word)) if BETWEEN.contains(word));
            }
            Token::Word(word) => open &= BETWEEN.contains(word),
        }
    }
    numbers
}

/// Whether what stands between two groups makes them two numbers.
fn parts(gap: &str) -> bool {
    gap.chars().count() > 8 || gap.contains(['\u{1}', '$', '%', '°', '=', '"', '×', ';', ':', '?', '!', '#', '+'])
}

/// Whether the comma between them is that of a list: a number told digit by digit has short groups.
fn lists(gap: &str, before: &Group, after: &Group) -> bool {
    let long = |group: &Group| group.how != How::Said && group.digits.len() > 2;
    gap.contains(',') && (long(before) || long(after))
}

impl Number<'_> {
    fn is_phone(&self, tokens: &[Token<'_>]) -> bool {
        let whole = Candidate::of(&self.groups, self.plus);
        let said = match nearest(tokens, self.first, self.last) {
            // None has ten digits.
            Some(Says::Price) => Some(Says::Other).filter(|_| whole.digits.len() < 10),
            said => said,
        };
        if self.plus && (8..=15).contains(&whole.digits.len()) {
            return true;
        }
        if said == Some(Says::Other) {
            return whole.is_unlike_others();
        }
        if whole.is_phone(said) {
            return true;
        }
        // Beside another number: `piso 5 1155500142`, or two phones.
        let shortest = if self.groups.iter().all(|group| group.digits.len() >= 8) { 8 } else { 9 };
        let alone = |group: &&Group| group.digits.len() >= shortest && Candidate::of(&[group], false).is_phone(said);
        self.groups.len() > 1 && (self.groups.iter().any(alone) || self.has_phone(said))
    }

    /// Whether groups that stand side by side are one, if a word says that there is one.
    fn has_phone(&self, said: Option<Says>) -> bool {
        if said.is_none() && self.groups.iter().all(|group| group.how != How::Said) {
            return false;
        }
        // No group is empty, so a window has at most 15 of them.
        (0..self.groups.len()).any(|from| {
            let mut digits = 0;
            self.groups[from..]
                .iter()
                .take_while(|group| {
                    digits += group.digits.len();
                    digits <= 15
                })
                .enumerate()
                .any(|(to, _)| {
                    let candidate = Candidate::of(&self.groups[from..=from + to], false);
                    candidate.digits.len() >= 8 && candidate.is_phone(said)
                })
        })
    }
}

/// Groups that may be a phone.
struct Candidate<'a> {
    groups: &'a [&'a Group],
    digits: String,
    plus: bool,
}

impl<'a> Candidate<'a> {
    fn of(groups: &'a [&'a Group], plus: bool) -> Self {
        Self { groups, digits: groups.iter().map(|group| group.digits.as_str()).collect(), plus }
    }

    fn is_phone(&self, said: Option<Says>) -> bool {
        let length = self.digits.len();
        if !(7..=15).contains(&length) || self.is_price() || self.is_years() {
            return false;
        }
        if self.plus && length >= 8 || said == Some(Says::Phone) {
            return true;
        }
        if self.is_list() {
            return false;
        }
        // Who says hundreds says an amount.
        let words = self.groups.iter().filter(|group| group.said(1..=2)).count();
        if words >= 4 && length >= 8 {
            return true;
        }
        // Nobody has a reason to write another number digit by digit.
        let singly = self.groups.iter().filter(|group| group.digits.len() == 1).count();
        if singly >= 6 && length >= 8 {
            return true;
        }
        self.fits_a_plan()
    }

    /// `11 5550 0142`, which is no number of a part or a paper, whatever is said of it.
    fn is_unlike_others(&self) -> bool {
        let lengths: Vec<_> = self.groups.iter().map(|group| group.digits.len()).collect();
        let round = self.groups.iter().any(|group| group.ends_with("0"));
        lengths == [2, 4, 4] && self.digits.starts_with("11") && (!round || self.groups[2].begins_with_zero())
    }

    fn is_price(&self) -> bool {
        self.groups.len() == 1 && self.digits.len() < 10 && self.digits.ends_with("000")
            || self.digits.ends_with("0000")
    }

    fn is_years(&self) -> bool {
        self.values().all(|value| (1900..2100).contains(&value))
    }

    /// Sizes in a row, round ones, one to eight.
    fn is_list(&self) -> bool {
        let values: Vec<u64> = self.values().collect();
        let row = |step: &dyn Fn(u64, u64) -> bool| values.windows(2).all(|pair| step(pair[0], pair[1]));
        let round =
            |group: &&Group| group.digits.len() >= 3 && !group.digits.starts_with('0') && group.digits.ends_with("00");
        values.len() >= 4 && (row(&|a, b| a < b) || row(&|a, b| a > b))
            || self.is_figures()
            || values.len() > 1 && self.groups.iter().all(round)
            || self.digits.as_bytes().windows(2).all(|pair| pair[0] + 1 == pair[1])
    }

    /// Written figures that are parted as those of a phone are not: from one price to another one (`25500 - 32750`), the
    /// sizes of a sheet (`2440*1220*18`), hours (`11 9 15 8 30 12`; a phone in pairs is in pairs throughout, or has zeros).
    fn is_figures(&self) -> bool {
        let lengths: Vec<_> = self.groups.iter().map(|group| group.digits.len()).collect();
        let single = lengths.contains(&1) && self.groups.iter().all(|group| !group.digits.starts_with('0'));
        let hours = lengths.len() >= 4 && lengths.iter().all(|length| *length <= 2) && single;
        let few = lengths.iter().filter(|length| **length == 1).count() < 6;
        self.groups.iter().all(|group| group.how == How::Written || group.said(3..=5))
            && (hours && few || matches!(lengths[..], [5, 5] | [6, 6] | [3..=6, 4..=6, 1..=2]))
    }

    fn values(&self) -> impl Iterator<Item = u64> {
        // None of more than 15 digits gets here.
        self.groups.iter().map(|group| group.digits.parse().unwrap_or(u64::MAX))
    }

    /// Whether somebody could dial this somewhere between Mexico and Montevideo. Seven digits never suffice.
    fn fits_a_plan(&self) -> bool {
        let digits = &*self.digits;
        let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| digits.starts_with(prefix));
        match digits.len() {
            // Nicaragua, Bolivia, and Buenos Aires without its 11.
            8 => starts(&["2", "4", "5", "6", "7", "8"]) && self.is_grouped_like_one(),
            // Chile, Peru, Uruguay; a mobile of a small Argentine town.
            9 => starts(&["9", "09"]) && self.is_grouped_like_one() || starts(&["15"]) && self.groups.len() > 1,
            // Argentina, Colombia.
            10 => starts(&["11", "15", "2", "3", "0800", "0810"]),
            11 => starts(&["0", "9", "505", "506", "502", "503", "504", "569", "519", "598", "591"]),
            12 => starts(&["0", "54", "52", "57", "55", "598", "593", "595"]),
            13 => starts(&["0", "549", "521", "55"]),
            14 | 15 => starts(&["00"]),
            _ => false,
        }
    }

    /// The last digits stand together, or all in pairs.
    fn is_grouped_like_one(&self) -> bool {
        let length = |group: &&Group| group.digits.len();
        self.groups.last().is_some_and(|last| last.digits.len() >= 3)
            || self.groups.iter().all(|group| length(group) <= 2)
    }
}

/// What a word near a number says that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    Phone,
    Price,
    Other,
}

/// What the nearest of the words says that say anything: six before, then three after.
fn nearest(tokens: &[Token<'_>], first: usize, last: usize) -> Option<Says> {
    let word = |token: &Token<'_>| match token {
        Token::Word(word) => Some((*word).to_owned()),
        _ => None,
    };
    let before: Vec<_> = tokens[..first].iter().rev().take(24).filter_map(word).take(7).collect();
    let after: Vec<_> = tokens[last + 1..].iter().take(12).filter_map(word).take(3).collect();
    let of_a_person = |at: usize| {
        NUMBER.is_match(&before[at])
            && before.get(at + 1).is_some_and(|word| matches!(&**word, "mi" | "tu" | "ese" | "este"))
    };
    let says = |word: &str| match () {
        () if PHONE.is_match(word) => Some(Says::Phone),
        () if PRICE.is_match(word) => Some(Says::Price),
        () if OTHER.is_match(word) => Some(Says::Other),
        () => None,
    };
    let said_before =
        (0..before.len().min(6)).find_map(|at| if of_a_person(at) { Some(Says::Phone) } else { says(&before[at]) });
    said_before.or_else(|| after.iter().find_map(|word| says(word)))
}

static NUMBER: LazyLock<Regex> = LazyLock::new(|| regex("^(?:numer(?:o|ito)|nro|num)$"));

static PHONE: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?x)^(?:tel|telf?|telefon\w*|cel|celu|celular\w*|movil|fono|fijo|fax|llam(?:a|as|ar|ame|anos|en|alo|ala)
        |comuni\w+|contact(?:ame|anos|ate|arme|o)|agend\w+|anot(?:a|ate|ame|alo)|marc(?:ar|ame|alo)|ubicas?|atiende
        |escribime|mandame|wsp|wpp|wasap|wassap|guasap|whatsapp?|wapp)$",
    )
});

static OTHER: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?x)^(?:codigos?|cod|refs?|referencia|series?|modelos?|facturas?|remitos?|recibos?|cuit|cuil|dni|documento|cedula
        |ruc|cbu|cvu|cuenta|pedidos?|orden|ot|expediente|poliza|tracking|seguimiento|reclamo|medidor|lote|normas?|iram
        |patente|isbn|catalogo|catastral|partida|repuestos?|articulos?|art|sku|ticket|comprobante|operacion|matricula
        |pieza|tramite|clave|version|medidas?|presupuest\w*|rev|build|transferi)$",
    )
});

static PRICE: LazyLock<Regex> = LazyLock::new(|| regex("^(?:precios?|cuesta|total|cuota)$"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tens_and_doubles_are_said_in_several_words() {
        let digits = |text| {
            numbers(&read(text, &TOKEN)).iter().map(|n| Candidate::of(&n.groups, false).digits).collect::<Vec<_>>()
        };
        assert_eq!(digits("once, cuarenta y dos, doble cinco y tres"), ["114255", "3"]);
        assert_eq!(digits("2o2-5s y 10l"), ["20255", "101"]);
        assert_eq!(digits("10l 20l 30l"), Vec::<String>::new());
    }

    #[test]
    fn a_phone_is_no_price_because_somebody_says_so() {
        for phone in ["11 5550 0142 pesos", "cuesta $1155500142", "11 5551 4142 pesos", "el total es 11 5550 0142"] {
            assert!(told(phone), "{phone}");
        }
        for price in ["45 050 500 pesos", "1200 1350 1480 pesos", "150 200 3500 pesos", "0,50 usd", "total 4550 1225"] {
            assert!(!told(price), "{price}");
        }
    }

    #[test]
    fn the_nearest_word_says_what_a_number_is() {
        assert!(told("mi cel es 4555019"));
        assert!(!told("serie 4555019"));
        assert!(told("la factura la mando luego, mi numero es 4555019"));
        assert!(!told("llamame por el pedido 88550142"));
        assert!(told("llamame por el pedido al +505 88550142"));
    }
}
