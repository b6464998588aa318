//! Folders, object keys and URL paths. A path is `/uploads/` and the object's key, so a URL names one object for ever.

use kit::seal;
use proto::media::v1::Folder;
use uuid::Uuid;

/// What stands before an object's key in its URL path.
const ROOT: &str = "/uploads/";

/// How much of the client's file name is kept.
const NAME_LENGTH: usize = 60;

/// The word of a folder in keys and rows.
pub(crate) fn word(folder: Folder) -> &'static str {
    match folder {
        Folder::Unspecified | Folder::Media => "media",
        Folder::Portfolio => "portfolio",
        Folder::Products => "products",
        Folder::Verification => "verification",
        Folder::Chat => "chat",
        Folder::Profiles => "profiles",
        Folder::Avatars => "avatars",
        Folder::Communities => "communities",
    }
}

pub(crate) fn folder(word: &str) -> Folder {
    match word {
        "portfolio" => Folder::Portfolio,
        "products" => Folder::Products,
        "verification" => Folder::Verification,
        "chat" => Folder::Chat,
        "profiles" => Folder::Profiles,
        "avatars" => Folder::Avatars,
        "communities" => Folder::Communities,
        _ => Folder::Media,
    }
}

/// Whether a folder's files answer to their owner and administrators only.
pub(crate) fn private(folder: Folder) -> bool {
    match folder {
        Folder::Verification => true,
        Folder::Unspecified
        | Folder::Media
        | Folder::Portfolio
        | Folder::Products
        | Folder::Chat
        | Folder::Profiles
        | Folder::Avatars
        | Folder::Communities => false,
    }
}

/// An object's key without extension that nobody can guess and that is never used again. Conectar's clients look for
/// the user's id in an avatar's URL; elsewhere the client's file name helps whoever saves the file.
pub(crate) fn stem(folder: Folder, owner: Option<Uuid>, file_name: &str) -> String {
    let random = u128::from_be_bytes(seal::random());
    let folder_word = word(folder);
    match (folder, owner, clean(file_name)) {
        (Folder::Avatars, Some(owner), _) => format!("{folder_word}/{owner}-{random:032x}"),
        (_, _, name) if name.is_empty() => format!("{folder_word}/{random:032x}"),
        (_, _, name) => format!("{folder_word}/{random:032x}-{name}"),
    }
}

pub(crate) fn path(key: &str) -> String {
    format!("{ROOT}{key}")
}

pub(crate) fn key(path: &str) -> Option<&str> {
    path.strip_prefix(ROOT)
}

/// The client's file name without folders and extension, of letters, digits, `-` and `_` only. Dots go too, so that
/// no `shell.php.jpg` arises.
fn clean(file_name: &str) -> String {
    let base = file_name.rsplit(['/', '\\']).next().unwrap_or_default();
    let base = base.rsplit_once('.').map_or(base, |(base, _)| base);
    let plain: String =
        base.chars().take(NAME_LENGTH).map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
    plain.trim_matches(['-', '_']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_cannot_leave_its_place() {
        for (name, cleaned) in [
            ("toro.jpg", "toro"),
            ("../../etc/passwd", "passwd"),
            ("C:\\fotos\\mi toro ñato.JPG", "mi_toro__ato"),
            ("shell.php.jpg", "shell_php"),
            (".htaccess", ""),
            ("\0\r\n", ""),
            ("", ""),
        ] {
            assert_eq!(clean(name), cleaned, "{name:?}");
        }
        assert_eq!(clean(&"x".repeat(255)).len(), NAME_LENGTH);
    }

    #[test]
    fn an_avatar_names_its_owner_and_nothing_is_named_twice() {
        let owner = Uuid::now_v7();
        assert!(stem(Folder::Avatars, Some(owner), "yo.png").starts_with(&format!("avatars/{owner}-")));
        let [one, two] = [(); 2].map(|()| stem(Folder::Media, Some(owner), "toro.jpg"));
        assert!(one.starts_with("media/") && one.ends_with("-toro") && one != two, "{one} {two}");
    }

    #[test]
    fn folders_and_words_are_the_same_list() {
        for number in 1..=7 {
            let known = Folder::try_from(number).expect("a folder");
            assert_eq!(folder(word(known)), known);
        }
    }
}
