//! The SQL cases: `cases/<group>/<name>.sql`.

use std::path::{Path, PathBuf};

/// One case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Case {
    /// `group/name`.
    pub name: String,
    /// Where its text is.
    pub path: PathBuf,
}

/// All cases below `root` whose name contains `filter`, sorted by name.
pub fn find(root: &Path, filter: &str) -> std::io::Result<Vec<Case>> {
    let mut cases = vec![];
    for group in std::fs::read_dir(root)? {
        let group = group?;
        if !group.file_type()?.is_dir() {
            continue;
        }
        for file in std::fs::read_dir(group.path())? {
            let path = file?.path();
            if path.extension().is_some_and(|e| e == "sql") {
                let stem = path.file_stem().unwrap_or_default().to_string_lossy();
                let name = format!("{}/{stem}", group.file_name().to_string_lossy());
                if name.contains(filter) {
                    cases.push(Case { name, path });
                }
            }
        }
    }
    cases.sort();
    Ok(cases)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_cases_and_each_says_what_duckdb_answers() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
        let cases = find(&root, "").unwrap();
        assert!(cases.len() >= 170, "{} cases", cases.len());
        for case in &cases {
            let text = std::fs::read_to_string(&case.path).unwrap();
            assert!(text.starts_with("-- "), "{} begins with what it shows", case.name);
            assert!(text.contains("\n-- duckdb"), "{} has a duckdb line", case.name);
            assert!(text.contains("'history.path'"), "{} can be replayed", case.name);
        }
        assert_eq!(find(&root, "late/tumble").unwrap().len(), 1);
    }
}
