//! The configurations that the documents show are right.

use std::path::Path;
use std::process::Command;

#[test]
fn configurations_in_documents_pass_the_check() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let docs = ["docs", "docs/guide"].into_iter().flat_map(|folder| {
        let entries = std::fs::read_dir(root.join(folder)).expect("a directory");
        entries.map(|entry| entry.expect("an entry").path())
    });
    let mut checked = 0;
    for path in
        docs.chain([root.join("README.md")]).filter(|path| path.extension().is_some_and(|e| e == "md"))
    {
        let text = std::fs::read_to_string(&path).expect("text");
        for block in text.split("```kdl\n").skip(1) {
            let kdl = block.split("\n```").next().expect("at least one piece");
            let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("document-{checked}.kdl"));
            std::fs::write(&file, kdl).expect("written");
            let output = Command::new(env!("CARGO_BIN_EXE_ringway")).arg("check").arg(&file).output();
            let output = output.expect("it runs");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{}:\n{kdl}\n{said}", path.display());
            checked += 1;
        }
    }
    assert!(checked > 0);
}
