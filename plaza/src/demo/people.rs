//! The demo people. Their family names say that they are made up, their phone numbers begin like nobody's, and nobody
//! receives mail at example.com.

use proto::access::v1::Role;

/// Everybody's. It meets both communities' rules and protects nothing.
pub(crate) const PASSWORD: &str = "Plaza-demo-1";

pub(crate) struct Person {
    pub(crate) first_name: &'static str,
    pub(crate) last_name: &'static str,
    pub(crate) roles: &'static [Role],
    pub(crate) phone: Option<&'static str>,
    pub(crate) email: Option<&'static str>,
    pub(crate) town: &'static str,
    /// Degrees north and east.
    pub(crate) place: (f64, f64),
    pub(crate) address: &'static str,
    pub(crate) bio: &'static str,
    /// Profession or kind of business.
    pub(crate) speciality: &'static str,
}

impl Person {
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.first_name, self.last_name)
    }
}

pub(crate) static ADMINISTRATOR: Person = Person {
    first_name: "Adela",
    last_name: "Administra",
    roles: &[Role::Admin],
    phone: Some("50500000000"),
    email: Some("admin@example.com"),
    town: "Managua",
    place: (12.1364, -86.2514),
    address: "",
    bio: "Cuido las dos comunidades.",
    speciality: "",
};

pub(crate) static PEOPLE: &[Person] = &[
    Person {
        first_name: "Ana",
        last_name: "Ejemplo",
        roles: &[Role::Specialist],
        phone: Some("50500000001"),
        email: None,
        town: "Managua",
        place: (12.1150, -86.2362),
        address: "Barrio Ejemplo, casa 1, Managua",
        bio: "Médica veterinaria de animales mayores. Diez años de trabajo en fincas de Managua y Boaco.",
        speciality: "VETERINARIAN",
    },
    Person {
        first_name: "Bruno",
        last_name: "Muestra",
        roles: &[Role::Specialist],
        phone: Some("50500000002"),
        email: None,
        town: "Matagalpa",
        place: (12.9256, -85.9175),
        address: "Calle de Muestra 2, Matagalpa",
        bio: "Agrónomo. Suelos, café de altura y manejo de plagas sin venenos.",
        speciality: "AGRONOMIST",
    },
    Person {
        first_name: "Carla",
        last_name: "Modelo",
        roles: &[Role::Businessman],
        phone: Some("50500000003"),
        email: None,
        town: "Estelí",
        place: (13.0919, -86.3538),
        address: "Frente al parque modelo, Estelí",
        bio: "Agroservicio Modelo: semillas, alimento y medicinas para el campo, con entrega en Estelí.",
        speciality: "VETERINARY_SHOP",
    },
    Person {
        first_name: "Diego",
        last_name: "Prueba",
        roles: &[Role::Businessman],
        phone: Some("50500000004"),
        email: None,
        town: "Boaco",
        place: (12.4722, -85.6586),
        address: "Camino a la prueba, km 4, Boaco",
        bio: "Lácteos de Prueba. Compramos leche de finca y vendemos queso seco, crema y cuajada.",
        speciality: "FARMING_COMPANY",
    },
    Person {
        first_name: "Elena",
        last_name: "Ficticia",
        roles: &[Role::Consumer],
        phone: Some("50500000005"),
        email: None,
        town: "Juigalpa",
        place: (12.1063, -85.3645),
        address: "",
        bio: "Ganadera en Chontales: cuarenta vacas de doble propósito y un toro con mal carácter.",
        speciality: "",
    },
    Person {
        first_name: "Fabio",
        last_name: "Ensayo",
        roles: &[Role::Consumer],
        phone: Some("50500000006"),
        email: None,
        town: "Jinotega",
        place: (13.0910, -86.0023),
        address: "",
        bio: "Siembro café y hortalizas. Aquí busco consejo y compradores.",
        speciality: "",
    },
    Person {
        first_name: "Gabriela",
        last_name: "Ejemplo",
        roles: &[Role::Client],
        phone: None,
        email: Some("gabriela@example.com"),
        town: "Buenos Aires",
        place: (-34.6037, -58.3816),
        address: "",
        bio: "Vivo en un departamento antiguo donde siempre hay algo para arreglar.",
        speciality: "",
    },
    Person {
        first_name: "Hugo",
        last_name: "Muestra",
        roles: &[Role::Client],
        phone: None,
        email: Some("hugo@example.com"),
        town: "Córdoba",
        place: (-31.4201, -64.1888),
        address: "",
        bio: "Administro tres edificios y busco gente de oficio en quien confiar.",
        speciality: "",
    },
    Person {
        first_name: "Inés",
        last_name: "Modelo",
        roles: &[Role::Professional],
        phone: None,
        email: Some("ines@example.com"),
        town: "Buenos Aires",
        place: (-34.5889, -58.4306),
        address: "Calle Modelo 900, Palermo, Buenos Aires",
        bio: "Electricista matriculada. Tableros, puestas a tierra y urgencias las 24 horas.",
        speciality: "Electricista",
    },
    Person {
        first_name: "Julián",
        last_name: "Prueba",
        roles: &[Role::Professional],
        phone: None,
        email: Some("julian@example.com"),
        town: "Rosario",
        place: (-32.9442, -60.6505),
        address: "Pasaje Prueba 45, Rosario",
        bio: "Plomero y gasista. Presupuesto sin cargo y trabajo con garantía.",
        speciality: "Plomero",
    },
    Person {
        first_name: "Karina",
        last_name: "Ficticia",
        roles: &[Role::Professional],
        phone: None,
        email: Some("karina@example.com"),
        town: "Mendoza",
        place: (-32.8895, -68.8458),
        address: "Avenida Ficticia 1200, Mendoza",
        bio: "Pintora de obra. Interiores, frentes y revestimientos; dejo todo más limpio de lo que lo encontré.",
        speciality: "Pintora",
    },
    // One person in both communities: the same account, inbox and chat for either frontend.
    Person {
        first_name: "Marta",
        last_name: "Ensayo",
        roles: &[Role::Consumer, Role::Client],
        phone: Some("50500000012"),
        email: Some("marta@example.com"),
        town: "León",
        place: (12.4379, -86.8780),
        address: "",
        bio: "Tengo una finca pequeña en León y una casa que pide arreglos. Uso las dos comunidades.",
        speciality: "",
    },
];
