//! The lists of the benchmarks are whole: benches/check.py finds nothing. It needs Python, and nothing else.

use std::env;
use std::process::Command;

#[test]
fn every_benchmark_is_in_the_list_of_rows_and_every_row_has_its_program() {
    let python = env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    let Ok(done) = Command::new(&python)
        .args(["-B", "benches/check.py"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
    else {
        println!("skipped: there is no {}", python.display());
        return;
    };
    let (found, failed) = (done.stdout, done.stderr);
    let text = format!("{}{}", String::from_utf8_lossy(&found), String::from_utf8_lossy(&failed));
    assert!(done.status.success(), "benches/check.py:\n{text}");
}
