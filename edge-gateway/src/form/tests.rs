use proptest::prelude::*;
use serde_json::json;

use super::*;

fn fields(habits: Habits, value: Value) -> Fields {
    Fields::json(habits, value.as_object().unwrap().clone())
}

fn wrong(mut f: Fields, read: impl FnOnce(&mut Fields)) -> Vec<Wrong> {
    read(&mut f);
    f.faults.into_iter().map(|fault| fault.wrong).collect()
}

#[test]
fn every_fault_is_collected() {
    let body = json!({"phone": "", "name": "x".repeat(4), "age": "1x", "role": "king"});
    let faults = wrong(fields(Habits::Django, body), |f| {
        f.text("phone").required();
        f.text("name").max(3).required();
        f.integer("age").optional();
        f.choice("role", &[("pawn", 1)]).optional();
        f.text("password").required();
    });
    assert_eq!(
        faults,
        [
            Wrong::Blank,
            Wrong::TooLong(3),
            Wrong::NotInteger,
            Wrong::NotAChoice { value: "king".into(), choices: vec!["pawn"] },
            Wrong::Required
        ]
    );
}

#[test]
fn null_is_a_fault_for_django_and_nothing_for_pydantic() {
    let body = || json!({"bio": null});
    assert_eq!(wrong(fields(Habits::Django, body()), |f| drop(f.text("bio").optional())), [Wrong::Null]);
    assert_eq!(wrong(fields(Habits::Pydantic, body()), |f| drop(f.text("bio").optional())), []);
    assert_eq!(fields(Habits::Django, body()).text("bio").nullable(), Some(None));
    assert_eq!(wrong(fields(Habits::Pydantic, body()), |f| drop(f.text("bio").required())), [Wrong::NotText]);
}

#[test]
fn only_django_takes_numbers_for_text() {
    let body = || json!({"phone": 12});
    assert_eq!(fields(Habits::Django, body()).text("phone").required(), "12");
    assert_eq!(wrong(fields(Habits::Pydantic, body()), |f| drop(f.text("phone").required())), [Wrong::NotText]);
}

#[test]
fn passwords_keep_their_spaces_and_nothing_keeps_a_nul() {
    let body = json!({"name": " a ", "password": " a ", "bio": "a\u{0}b"});
    let mut f = fields(Habits::Django, body);
    assert_eq!(f.text("name").required(), "a");
    assert_eq!(f.text("password").secret().required(), " a ");
    f.text("bio").required();
    assert_eq!(f.faults[0].wrong, Wrong::NulCharacter);
}

#[test]
fn an_empty_form_value_is_null_for_everything_but_text() {
    let pairs = vec![("lat".into(), String::new()), ("bio".into(), String::new())];
    let mut f = Fields::pairs(Habits::Django, pairs, vec![]);
    assert_eq!(f.decimal("lat", 10, 7).nullable(), Some(None));
    assert_eq!(f.text("bio").blank().nullable(), Some(Some(String::new())));
}

#[test]
fn what_stays_empty_in_a_form_of_djangos_was_not_filled_in_unless_it_must_be() {
    let f = |habits| Fields::pairs(habits, vec![("years".into(), String::new())], vec![]);
    assert_eq!(wrong(f(Habits::Django), |f| assert_eq!(f.integer("years").optional(), None)), []);
    assert_eq!(
        wrong(f(Habits::Pydantic), |f| {
            f.integer("years").optional();
        }),
        [Wrong::NotInteger]
    );
    assert_eq!(
        wrong(f(Habits::Django), |f| {
            f.integer("years").required();
        }),
        [Wrong::NotInteger]
    );
    for put in [false, true] {
        let faults = wrong(f(Habits::Django).on_put(put), |f| {
            f.integer("years").required_on_put();
        });
        assert_eq!(faults, [Wrong::NotInteger]);
    }
    assert_eq!(
        wrong(f(Habits::Django), |f| {
            f.key("years").required();
        }),
        [Wrong::Null]
    );
    let json = fields(Habits::Django, json!({ "years": "" }));
    assert_eq!(
        wrong(json, |f| {
            f.integer("years").optional();
        }),
        [Wrong::NotInteger]
    );
}

#[test]
fn a_form_has_a_list_as_one_field_or_as_many() {
    let f = |values: &[&str]| {
        let pairs = values.iter().map(|value| ("ids".to_owned(), (*value).to_owned())).collect();
        Fields::pairs(Habits::Django, pairs, vec![])
    };
    let list = |values: &[&str]| f(values).integers("ids").nullable();
    for values in [&["3", "1", "2"][..], &["3,1", "2"], &["[3, 1, 2]"], &["", "3", "[1]", "2"]] {
        assert_eq!(list(values), Some(Some(vec![3, 1, 2])), "{values:?}");
    }
    assert_eq!((list(&[""]), list(&["", ""]), list(&[])), (Some(None), Some(None), None));
    assert_eq!(f(&["1", "2"]).integer("ids").optional(), Some(2));
    let places = wrong(f(&["1", "x,2", "y"]), |f| drop(f.integers("ids").by_place().optional()));
    assert_eq!(places, [Wrong::Items(vec![(1, Wrong::NotInteger), (3, Wrong::NotInteger)])]);
    assert_eq!(wrong(f(&["1,2", "3"]), |f| drop(f.integers("ids").max_items(2).optional())), [Wrong::TooMany(2)]);
}

#[test]
fn rules_of_the_contracts_become_faults() {
    let of = |rule, message| Wrong::of_rule(rule, message).unwrap();
    assert_eq!(of("string.max_len", "must have at most 150 characters"), Wrong::TooLong(150));
    assert_eq!(of("string.min_len", "must have at least 1 characters"), Wrong::Blank);
    assert_eq!(of("double.lte", "must be at most 90"), Wrong::AtMost("90".into()));
    assert_eq!(Wrong::of_rule("PHONE_TAKEN", ""), None);
}

#[test]
fn a_sketch_lists_what_is_asked_for() {
    struct Example;
    impl Form for Example {
        fn read(f: &mut Fields) -> Self {
            f.text("name").max(3).required();
            f.file("picture").optional();
            Self
        }
    }
    let (schema, files) = Fields::schema::<Example>();
    let schema = serde_json::to_value(schema).unwrap();
    assert!(files);
    assert_eq!(schema["required"], json!(["name"]));
    assert_eq!(schema["properties"]["name"]["maxLength"], 3);
    assert_eq!(schema["properties"]["picture"]["format"], "binary");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_a_getter_panic(text: String) {
        let pairs = ["a", "b", "c", "d", "e", "f"].map(|name| (name.to_owned(), text.clone())).to_vec();
        let mut f = Fields::pairs(Habits::Django, pairs, vec![]);
        f.integer("a").optional();
        f.decimal("b", 10, 2).nullable();
        f.boolean("c").optional();
        f.number("d").optional();
        f.choice("e", &[("x", 1)]).optional();
        f.integers("f").optional();
    }
}
