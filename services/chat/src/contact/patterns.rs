//! Mails, links, and names in other networks, in plain text.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;

use super::Kind;

/// Adds what it finds. Whatever is a mail is not looked at as a link or a name again.
pub(super) fn search(plain: &str, found: &mut BTreeSet<Kind>) {
    let mut rest = MAIL.replace_all(plain, " \u{1} ");
    if matches!(rest, std::borrow::Cow::Owned(_)) {
        found.insert(Kind::Email);
    }
    rest = HARMLESS.replace_all(&rest, " ").into_owned().into();
    if LINK.is_match(&rest) {
        found.insert(Kind::Link);
    }
    if HANDLE.is_match(&rest) || names_own(&rest) || MESSENGER.is_match(&TOPIC.replace_all(&rest, " ")) {
        found.insert(Kind::Handle);
    }
}

/// Whether a name follows one's own network: `mi insta juanobras`, and not `mi insta anda mal`.
fn names_own(plain: &str) -> bool {
    OWN.captures_iter(plain).any(|found| !SENTENCE.is_match(&found["name"]))
}

/// Whether some of it stands in none but mails and links, which may be told in pieces.
pub(super) fn hint(plain: &str) -> bool {
    HINT.is_match(plain)
}

static HINT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"@ | \b{arroba} | \b{provider}\b | \b(?:punto|dot|com|www|https?)\b | \.[a-z]{2,3}(?:\.[a-z]{2})?\s*$")
});

/// Compiles a pattern in which `{name}` stands for a part from [`PARTS`].
fn pattern(text: &str) -> Regex {
    let whole = PARTS.iter().rev().fold(text.to_owned(), |text, (name, part)| text.replace(name, part));
    super::regex(&format!("(?x){whole}"))
}

/// Parts of patterns; each may use those above it.
const PARTS: &[(&str, &str)] = &[
    ("{open}", r"\s*[(\[{<]?\s*"),
    ("{close}", r"\s*[)\]}>]?\s*"),
    // A dot, said or written, in any brackets.
    ("{dot}", r"{open}(?:[.·•]|\bpunto\b|\bdot\b){close}"),
    ("{arroba}", r"arr?o[bv]a"),
    (
        "{provider}",
        r"(?:g\s?mail|ge?mail|g[im]+e?[ia]l|[yj]imeil|gmeil|[hj]ot\s?m[ae]?il|hotmal|outloo?k|[yi]ah?oo?|live|icloud
            |proton(?:mail)?|ymail|msn|fibertel|arnet)",
    ),
    // Ends of names that no Spanish sentence begins with after a forgotten blank, as it would with `es` or `me`.
    (
        "{tld}",
        r"(?:com|net|org|edu|gob|info|biz|app|dev|shop|store|online|site|link|click|xyz|tv|io|ly|gg
            |ar|ni|cl|uy|mx|pe|bo|py|br|ec|cr|hn|sv|gt)\b",
    ),
    (
        "{network}",
        r"(?:ins?t[ar]{0,3}gr?a[mn]|insta|ig|fa[cs]eb\w+|face|fe[iy]s(?:b\w+)?|fb|tik\s?tok|linkedin|twitter|youtube
            |messenger|telegra[mn]|tg|discord|skype|signal)",
    ),
    (
        "{reach}",
        r"\b(?:busc[ao]|busque|segui|agreg[ao]|agregue|escrib[aio]|habl[ae]|mand[ao]|contact[ao]|encontr|ubic[ao]|pas[ao]
            |arregl|charl|mensaje|sigamos|sumate|llam[ao]|manda|dej[ao]|estoy|estamos|soy|somos)\w*",
    ),
    ("{findme}", r"\b(?:busca|busque|encontra|encuentra|segui|agrega)\w*(?:me|nos)\b"),
];

static MAIL: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"[a-z0-9][a-z0-9._%+-]*(?:@|\s+@\s+|@\s+)[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z]{2,}
        | [a-z0-9][a-z0-9._%+-]*
          (?: @ | \s+@\s+ | @\s+ | {open}\b{arroba}\b{close} | \s*[(\[{<]\s*(?:a|at|{arroba})\s*[)\]}>]\s* | \s+at\s+ )
          (?: {provider}\b(?:{dot}{tld})* | [a-z0-9][a-z0-9-]*(?:{dot}[a-z0-9-]+)*(?:{dot}|,){tld} )
        | [a-z0-9][a-z0-9._%+-]*\s?@\s?{provider}
        | \b(?:correo|e-?mail|mail)(?:\s+\S+){0,2}?\s+[a-z]{3,}[0-9._][a-z0-9._]*\s+(?:(?:en|de|del)\s+)?{provider}\b
        | {arroba}{provider}\b | \b[a-z0-9._-]{2,}{arroba}\s?(?:{provider}\b|[a-z0-9-]+\s?punto)
        | \b{provider}(?:{dot}|\s*(?:punto\s*)?)com\b
        | \b(?:correo|e-?mail|mail)\s*(?:es\b|:)\s*\S{4,}(?:\s+\S+)?\s+(?:(?:en|de|del)\s+)?{provider}\b
        | \b[a-z0-9]+[._-][a-z0-9._-]*[a-z0-9]\s+en\s+{provider}\b
        | \bmi\s+(?:gmail|hotmail|yahoo|outlook)\s*(?:es\b|:)\s*\w",
    )
});

static LINK: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"\bh(?:tt|xx)ps?\s*:\s*/
        | \bwww{dot}[a-z0-9] | \bwww\s+\S+\s+com\b
        | \b(?:wa|t|m|fb|ig)(?:{dot})me\s*/
        | \b(?:bit|cutt|ow)(?:{dot}|\s+)ly\s*/ | \blinktr{dot}ee | \bgoo{dot}gl
        | \b[a-z0-9-]*[a-z][a-z0-9-]*\.(?:[a-z0-9-]+\.)*{tld}
        | \b[a-z0-9-]*[a-z][a-z0-9-]*\.(?:es|me|co|to|eu|us)/
        | \b[a-z0-9][a-z0-9-]+(?:{dot}|,)com\b
        | punto\s*com\b
        | \bpunto\s+(?:net|org|info|ar)\b
        | \b[a-z0-9-]{4,}\s+punto\s+(?:app|shop|store|site|dev|uy|cl|mx)\b
        | \b[a-z0-9-]{3,}\s*\.\s*c\s+o\s+m\b
        | \b(?:pagina|web|sitio)\s+(?:\S+\s+){0,3}?[a-z0-9-]{4,}\s+com\b
        | \b[a-z0-9-]{3,}\s+com\s+(?:ar|ni|uy|mx|pe|py|bo)\b
        | \b[a-z0-9]{4,}[*_/~|]com\b
        | \b[a-z0-9-]{3,}\s+\.\s*(?:org|shop|store|site|ar)\b",
    )
});

/// Names that look like a link to the outside, and are none.
static HARMLESS: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"\b(?:asp|vb|ado)\.net\b | \b(?:www\.)?conectarprofesionales\.com\b | \bsocket\.io\b
        | @(?:todos|todas|all|here)\b",
    )
});

static HANDLE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?:^|[\s(,:;>])@[a-z_][a-z0-9_.]{2,}
        | \b{network}\s*[:=>]\s*[a-z@]
        | \b{network}\s+@
        | \b{network}\s+[a-z0-9]+[._][a-z0-9]
        | \b(?:mi|nuestro)\s+(?:\w+\s+(?:de|en)\s+)?{network}\s+es\b
        | {reach}(?:\s+\S+){0,4}?\s+(?:en|por|x|al|a)\s+(?:el\s+|mi\s+|un\s+)?{network}\b
        | \b{network},?\s+(?:busca|se\s+llama)
        | \b(?:en|por|x)\s+(?:el\s+)?{network}\s+(?:\S+\s+){0,2}?(?:soy|somos|estoy|estamos|como|me\s+encontras)\b
        | \b{arroba}\s?\w+\s+en\s+(?:el\s+|mi\s+)?{network}\b
        | \b(?:pas[ae]|mand[ae]|deja|da|deci|di)(?:me|nos)\s+(?:tu|su)\s+{network}\b
        | \b(?:(?:escrib|habl|contact|agreg)\w*|busca(?:me|nos))(?:\s+\S+){0,2}?\s+(?:por|x|al|en)\s+(?:el\s+|mi\s+)?tele\b
        | {findme}(?:\s+\S+){0,3}?\s+(?:en|por)\s+(?:las\s+)?redes\b
        | {findme}\s+(?:en|por)\s+(?:google|maps|mercado\s?libre|market\s?place|olx)\b
        | \ben\s+(?:todas\s+)?(?:las\s+|mis\s+)?redes(?:\s+sociales)?\s+(?:soy|somos|estoy|estamos|me\s+encontras)\b
        | \b(?:segui|mira|entra|visita)\w*\s+(?:\S+\s+){0,2}?(?:mi|nuestr[ao])\s+(?:\w+\s+(?:de|en)\s+)?{network}\b
        | \bdiscord\s+\S+\#\d{4}
        | \bgooglea\w*(?:me|nos)\b
        | \bgoogle(?:\s+maps)?\s+(?:estoy|estamos|soy|somos|figur\w+|aparec\w+)\s+como\b
        | \b(?:al|por|x)\s+(?:el\s+)?(?:face|insta|ig|fb|messenger|tg)\b(?:\s*$|\s*[.,!?]|\s+(?:y|que|asi|es)\b)",
    )
});

static OWN: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"\b(?:mi|nuestro)\s+{network}\s+(?P<name>[a-z0-9][a-z0-9._]{4,})"));
/// Words with which a sentence on a network goes on.
static SENTENCE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^(?:\w*(?:ado|ido|ando|iendo)|funciona\w*|tambien|tiene|tengo|tenia|estaba|hackea\w+|cuando|desde|donde|porque
            |pagina|perfil|empresa|negocio|personal|nuevo|viejo|sigue|quedo|nunca|siempre|ahora|antes|mejor|todavia|tampoco)$",
    )
});

/// Naming a messenger is telling how to be reached: people say no more than that, since the rest is known.
static MESSENGER: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"\b(?:wh?|gu|hu|u)[au]?t*h?[sz]+\s?a+p+s?\b
        | \b(?:whats|whatapp|wasa|wpp|wsp|wtsp|wzp|wapp|w[ahtsz]{2,8}p+s?|wh?as+up)\b
        | \bw[\s.*_/|-]{1,3}(?:s|p|t[\s.*_/|-]{1,3}s)[\s.*_/|-]{1,3}p\b
        | \b(?:por|x|en|al|a)\s+(?:la\s+|el\s+)?(?:app|globito)\s+verde\b
        | \b(?:al|el|por|x|tu|su|mi)\s+guasa\b
        | \b(?:al|por|x|tu|mi|un|tenes|tiene|tienes|usas|usa)\s+(?:wa|wp|ws|wts)\b
        | ^\s*(?:wp|ws|wts)\s*\?*\s*$
        | \bwh?a\s?t?\s?s\s?a\s?p+\b | \btlgrm\b
        | \b(?:escrib|habl|mand)\w*(?:\s+\S+){0,2}?\s+(?:por|al|x)\s+(?:el\s+)?verde\b
        | \btelegra[mn]\b",
    )
});

/// A messenger as the thing that is worked on.
static TOPIC: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"\b(?:bot|chatbot|api|boton|plugin|integr\w+|instal\w+|configur\w+|automatiz\w+|publicidad|campana|anda|funciona
            |hacke\w+|actualiz\w+|respaldo|backup)\s+(?:\S+\s+){0,2}?(?:whats\s?app|wsp|wpp|telegram)\b
        | \bwhats\s?app\s+(?:business|web)\b",
    )
});

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(plain: &str) -> Vec<Kind> {
        let mut found = BTreeSet::new();
        search(plain, &mut found);
        found.into_iter().collect()
    }

    #[test]
    fn a_mail_is_neither_a_link_nor_a_name() {
        assert_eq!(kinds("ana@example.com"), [Kind::Email]);
        assert_eq!(kinds("ana arroba gmail punto com"), [Kind::Email]);
        assert_eq!(kinds("ana@example.com o example.com"), [Kind::Email, Kind::Link]);
    }

    #[test]
    fn the_platforms_own_pages_may_be_named() {
        assert_eq!(kinds("mirá conectarprofesionales.com/profesional/4"), []);
        assert_eq!(kinds("noconectarprofesionales.com"), [Kind::Link]);
    }

    #[test]
    fn an_arroba_of_meat_is_no_name() {
        assert_eq!(kinds("a 300 la arroba de novillo, y por arroba subio. compro"), []);
    }
}
