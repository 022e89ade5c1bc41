//! Names: JSON to Rust.

/// Returns the Rust field name of a JSON property.
pub(super) fn field(property: &str) -> String {
    let characters: Vec<char> = property.chars().collect();
    let mut name = String::new();
    for (index, &character) in characters.iter().enumerate() {
        if character.is_uppercase() {
            let after_lower = index > 0 && !characters[index - 1].is_uppercase();
            let before_lower = index > 0 && characters.get(index + 1).is_some_and(|next| next.is_lowercase());
            if after_lower || before_lower {
                name.push('_');
            }
            name.extend(character.to_lowercase());
        } else {
            name.push(character);
        }
    }
    if matches!(name.as_str(), "type" | "static" | "virtual") { format!("{name}_") } else { name }
}

/// Returns what serde's `camelCase` makes of a Rust field name.
pub(super) fn camel_case(field: &str) -> String {
    let mut out = String::new();
    let mut upper = false;
    for character in field.chars() {
        if character == '_' {
            upper = true;
        } else if upper {
            out.extend(character.to_uppercase());
            upper = false;
        } else {
            out.push(character);
        }
    }
    out
}

/// Returns the type name of a definition: what follows its last dot.
pub(super) fn type_name(definition: &str) -> &str {
    definition.rsplit('.').next().unwrap_or(definition)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_as_words() {
        for (property, name) in [
            ("dedicatedIOThread", "dedicated_io_thread"),
            ("VSOCKCID", "vsockcid"),
            ("userDataBase64", "user_data_base64"),
            ("type", "type_"),
            ("migrationUID", "migration_uid"),
            ("autoattachVSOCK", "autoattach_vsock"),
        ] {
            assert_eq!(field(property), name);
        }
        assert_eq!(camel_case("user_data_base64"), "userDataBase64");
    }
}
