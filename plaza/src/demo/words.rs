//! What demo people write: sentences with places for words, filled by dice.

use crate::demo::dice::Dice;

/// Towns of Nicaragua: name, degrees north, degrees east.
pub(crate) const TOWNS: &[(&str, f64, f64)] = &[
    ("Managua", 12.1364, -86.2514),
    ("León", 12.4379, -86.8780),
    ("Chinandega", 12.6294, -87.1311),
    ("Matagalpa", 12.9256, -85.9175),
    ("Jinotega", 13.0910, -86.0023),
    ("Estelí", 13.0919, -86.3538),
    ("Ocotal", 13.6321, -86.4752),
    ("Somoto", 13.4808, -86.5821),
    ("Boaco", 12.4722, -85.6586),
    ("Juigalpa", 12.1063, -85.3645),
    ("Camoapa", 12.3838, -85.5124),
    ("Granada", 11.9344, -85.9560),
    ("Masaya", 11.9744, -86.0942),
    ("Jinotepe", 11.8496, -86.1994),
    ("Rivas", 11.4372, -85.8263),
    ("San Carlos", 11.1236, -84.7779),
    ("Nueva Guinea", 11.6876, -84.4562),
    ("Río Blanco", 12.9330, -85.2256),
    ("Siuna", 13.7332, -84.7777),
    ("Bluefields", 12.0137, -83.7635),
];

pub(crate) const FIRST_NAMES: &[&str] = &[
    "Alba", "Benito", "Camila", "Darío", "Emilia", "Félix", "Gloria", "Horacio", "Isabel", "Joaquín", "Lidia", "Mateo",
    "Nora", "Óscar", "Paula", "Quintín", "Rosa", "Samuel", "Teresa", "Ulises", "Valeria", "Wilmer", "Ximena", "Yader",
    "Zulema", "Abel", "Brenda", "César", "Delia", "Ernesto",
];
/// They say that nobody is called so.
pub(crate) const LAST_NAMES: &[&str] =
    &["Ejemplo", "Muestra", "Modelo", "Prueba", "Ficticia", "Ensayo", "Inventada", "Supuesto"];

const ANIMALS: &[&str] =
    &["terneros", "vacas paridas", "novillos", "cerdas de cría", "gallinas ponedoras", "cabras", "potros", "ovejas"];
const BREEDS: &[&str] = &["Brahman", "Pardo Suizo", "Gyr lechero", "Jersey", "Holstein", "Simmental", "Nelore"];
const CROPS: &[&str] =
    &["maíz", "frijol", "café", "sorgo", "tomate", "chiltoma", "yuca", "plátano", "cacao", "repollo"];
const TROUBLES: &[&str] = &[
    "garrapatas",
    "diarrea",
    "mastitis",
    "tos",
    "pérdida de peso",
    "gusano barrenador",
    "cojera",
    "ojos llorosos",
    "poca leche",
    "abortos",
];
const PESTS: &[&str] =
    &["roya", "mosca blanca", "broca", "gallina ciega", "gusano cogollero", "tizón", "pulgones", "nematodos"];
const REMEDIES: &[&str] = &[
    "un baño con amitraz",
    "sales minerales",
    "agua limpia y sombra",
    "ivermectina en la dosis justa",
    "ceniza con cal",
    "caldo bordelés",
    "aceite de nim",
    "rotación de potreros",
    "compost bien maduro",
    "una vacuna a tiempo",
];
const TIMES: &[&str] =
    &["desde ayer", "hace tres días", "desde que empezó el invierno", "hace dos semanas", "cada año en esta época"];

const TITLES: &[&str] = &[
    "¿Qué le dan a los {animal} con {trouble}?",
    "Mis {animal} tienen {trouble} {time}",
    "Cómo bajé la {pest} en el {crop} sin gastar de más",
    "{pest} en el {crop}: ¿alguien más en {town}?",
    "Precio del {crop} en {town} esta semana",
    "Calendario de vacunas para {animal}",
    "Experiencia con ganado {breed} en {town}",
    "¿Vale la pena sembrar {crop} de postrera?",
    "Busco consejo: suelo pesado y {crop}",
    "Fotos: así quedó el corral para los {animal}",
    "¿{remedy} sirve contra {trouble}?",
    "Jornada de campo en {town} este sábado",
    "Lluvias en {town}: cómo salvamos el {crop}",
    "Registro de partos: lo que anoto de mis {animal}",
    "Silo de {crop} para el verano, paso a paso",
    "¿Quién presta toro {breed} cerca de {town}?",
];

const OPENINGS: &[&str] = &[
    "Les cuento lo que pasa en la finca, cerca de {town}.",
    "Buenas a todos.",
    "Es mi primera vez preguntando aquí.",
    "Vengo de probar varias cosas y quiero compararlas con ustedes.",
    "Somos una familia con poca tierra y mucho trabajo.",
    "El técnico viene hasta el viernes y no quiero esperar.",
];
const MIDDLES: &[&str] = &[
    "Los {animal} empezaron con {trouble} {time} y ya revisé el agua y el pasto.",
    "Tengo dos manzanas de {crop} y la {pest} avanza por el lado del río.",
    "Probé {remedy} y ayudó, pero no del todo.",
    "El {breed} aguanta el calor mejor de lo que esperaba.",
    "En {town} pagan menos este mes y el transporte subió.",
    "Con {remedy} gasté la mitad que el año pasado.",
    "El vecino perdió casi todo el {crop} por la {pest}.",
    "Llevo la cuenta en un cuaderno: fecha, dosis, peso y resultado.",
];
const ENDINGS: &[&str] = &[
    "¿Qué harían ustedes?",
    "Cualquier consejo se agradece.",
    "Si a alguien le sirve, le paso mis apuntes.",
    "Subo fotos cuando escampe.",
    "¿A cuánto lo consiguen ustedes?",
    "Gracias por leer hasta aquí.",
];

const COMMENTS: &[&str] = &[
    "A mí me funcionó {remedy}.",
    "Con {trouble} no espere: llame a un veterinario.",
    "¿Cuánto pesan los {animal}? La dosis depende de eso.",
    "En {town} nos pasó igual {time}.",
    "Gracias, voy a probar con {remedy}.",
    "No lo mezcle con nada y respete los días de retiro de la leche.",
    "Yo cambié de potrero y en una semana se notó.",
    "¿Ya mandó a hacer un análisis de suelo?",
    "La {pest} vuelve si no limpia los rastrojos.",
    "Buen dato, lo anoto para la postrera.",
    "Eso mismo me dijo el agrónomo de la cooperativa.",
    "Discrepo: {remedy} solo tapa el problema.",
    "¿Tiene foto? Así es difícil saber.",
    "El {breed} cruzado me ha dado menos {trouble}.",
    "Pregunte en el agroservicio de {town}, ahí lo tienen.",
    "Mucha sombra y agua fresca, lo demás es secundario.",
    "Le escribo por el chat para no alargar esto.",
    "Aquí el {crop} viene bien, pero hay que vigilar la {pest} cada mañana.",
];

/// An ad: category (its id in the marketplace), title, sentence, cheapest and dearest price in córdobas.
pub(crate) struct Offer {
    pub(crate) category: i64,
    title: &'static str,
    text: &'static str,
    pub(crate) prices: (i64, i64),
}

const fn offer(category: i64, title: &'static str, text: &'static str, prices: (i64, i64)) -> Offer {
    Offer { category, title, text, prices }
}

pub(crate) const OFFERS: &[Offer] = &[
    offer(24, "Vaquilla {breed}", "Mansa, vacunada y con registro. Se puede ver en la finca.", (18_000, 45_000)),
    offer(24, "Semental {breed} de tres años", "Probado, sano y acostumbrado al lazo.", (40_000, 120_000)),
    offer(24, "Lote de {animal}", "Parejos, desparasitados y listos para llevar.", (8_000, 90_000)),
    offer(32, "Ivermectina inyectable, frasco de 500 ml", "Con fecha larga y guardada en frío.", (350, 900)),
    offer(32, "Vacuna contra ántrax y pierna negra", "Para {animal}. Se entrega con hielera.", (250, 700)),
    offer(33, "Concentrado para {animal}, quintal", "Fresco de esta semana; hay descuento por cantidad.", (650, 1_300)),
    offer(33, "Sales minerales, saco de 25 kg", "Con selenio y fósforo para la época seca.", (480, 950)),
    offer(34, "Semilla de {crop}", "Seleccionada, con buena germinación en {town}.", (120, 2_400)),
    offer(34, "Plantas de {crop} en bolsa", "Sanas, de vivero propio, listas para trasplante.", (8, 60)),
    offer(35, "Abono orgánico maduro, quintal", "Compost de pulpa de {crop} y estiércol, sin olor.", (150, 420)),
    offer(35, "Fertilizante completo 15-15-15", "Saco sellado de 100 libras.", (1_400, 2_300)),
    offer(36, "Picadora de pasto con motor", "Corta parejo; cuchillas nuevas.", (9_000, 32_000)),
    offer(36, "Tractor con arado de discos", "Trabajando, con papeles al día.", (180_000, 620_000)),
    offer(36, "Ordeñadora de dos puestos", "Poco uso. Incluye bomba y mangueras.", (25_000, 68_000)),
    offer(37, "Bomba de mochila de 20 litros", "Con boquilla de abanico y repuestos.", (900, 2_600)),
    offer(37, "Alambre de púas, rollo", "Galvanizado, 320 metros.", (1_100, 1_900)),
    offer(
        38,
        "Servicio de inseminación con semen {breed}",
        "A domicilio cerca de {town}; incluye diagnóstico.",
        (600, 1_800),
    ),
    offer(38, "Visita veterinaria a la finca", "Revisión de {animal}, recetas y plan de vacunas.", (400, 1_500)),
    offer(38, "Análisis de suelo con recomendación", "Tomamos la muestra y explicamos el resultado.", (900, 2_200)),
    offer(22, "Riego por goteo para una manzana", "Cinta, filtro y conectores; instalación aparte.", (11_000, 26_000)),
];

/// Fills the places of a sentence.
fn fill(sentence: &str, dice: &mut Dice, text: &mut String) {
    let start = text.len();
    let mut rest = sentence;
    while let Some((before, behind)) = rest.split_once('{') {
        let (place, after) = behind.split_once('}').expect("every place in a sentence is closed");
        text.push_str(before);
        text.push_str(match place {
            "animal" => dice.pick(ANIMALS),
            "breed" => dice.pick(BREEDS),
            "crop" => dice.pick(CROPS),
            "trouble" => dice.pick(TROUBLES),
            "pest" => dice.pick(PESTS),
            "remedy" => dice.pick(REMEDIES),
            "time" => dice.pick(TIMES),
            "town" => TOWNS[dice.below(TOWNS.len())].0,
            other => unreachable!("nobody knows what {other} is"),
        });
        rest = after;
    }
    text.push_str(rest);
    capitalize(text, start);
}

/// A sentence may begin with a place, also behind `¿`.
fn capitalize(text: &mut String, start: usize) {
    let first = text[start..].char_indices().find(|(_, c)| *c != '¿').filter(|(_, c)| c.is_lowercase());
    if let Some((at, first)) = first {
        let at = start + at;
        text.replace_range(at..at + first.len_utf8(), &first.to_uppercase().to_string());
    }
}

/// The title of a post.
pub(crate) fn title(dice: &mut Dice, text: &mut String) {
    fill(dice.pick(TITLES), dice, text);
}

/// The text of a post: three to five sentences.
pub(crate) fn post(dice: &mut Dice, text: &mut String) {
    fill(dice.pick(OPENINGS), dice, text);
    for _ in 0..1 + dice.below(3) {
        text.push(' ');
        fill(dice.pick(MIDDLES), dice, text);
    }
    text.push(' ');
    fill(dice.pick(ENDINGS), dice, text);
}

/// The text of a comment: one or two sentences.
pub(crate) fn comment(dice: &mut Dice, text: &mut String) {
    fill(dice.pick(COMMENTS), dice, text);
    if dice.chance(0.3) {
        text.push(' ');
        fill(dice.pick(COMMENTS), dice, text);
    }
}

/// Title and text of an ad.
pub(crate) fn ad(offer: &Offer, dice: &mut Dice) -> (String, String) {
    let (mut title, mut text) = (String::new(), String::new());
    fill(offer.title, dice, &mut title);
    fill(offer.text, dice, &mut text);
    (title, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_filled() {
        let mut dice = Dice::of("test", 1);
        for sentence in [TITLES, OPENINGS, MIDDLES, ENDINGS, COMMENTS].concat() {
            let mut text = String::new();
            fill(sentence, &mut dice, &mut text);
            assert!(!text.contains(['{', '}']), "{text}");
            assert!(!text.trim_start_matches('¿').starts_with(char::is_lowercase), "{text}");
        }
        for offer in OFFERS {
            let (title, text) = ad(offer, &mut dice);
            assert!(!title.contains('{') && !text.contains('{') && title.chars().count() <= 200, "{title}: {text}");
        }
    }
}
