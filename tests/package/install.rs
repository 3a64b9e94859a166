//! Programs find what `bindings/c/install.sh` (`make install`) installs: by pkg-config and by CMake, in C and in C++,
//! shared and static. Installs once, into a directory under the target directory.

use crate::abi;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const PREFIX: &str = "/opt/hangup";

const PROGRAM_C: &str = r#"
#include <hangup.h>
#include <string.h>
int main(void) {
    hangup_manager *manager = hangup_manager_shared();
    int wrong = hangup_version() != HANGUP_VERSION || strcmp(hangup_version_text(), HANGUP_VERSION_TEXT) != 0
        || hangup_manager_id(manager) == 0;
    hangup_manager_free(manager);
    return wrong;
}
"#;

const PROGRAM_CPP: &str = r#"
#include <hangup_async.hpp>
int main() { return hangup::Manager::shared().connections().empty() ? 0 : 1; }
"#;

/// The staging directory, with hangup under `PREFIX` in it.
fn staged() -> &'static Path {
    static STAGED: OnceLock<PathBuf> = OnceLock::new();
    STAGED.get_or_init(|| {
        let dir = abi::scratch("staged");
        let mut install = Command::new(abi::root().join("bindings/c/install.sh"));
        // The target directory of this build, so that nothing is compiled twice.
        install.arg(PREFIX).arg(&dir).env("CARGO_TARGET_DIR", abi::target_dir());
        abi::succeed(&mut install);
        dir
    })
}

fn installed(path: &str) -> PathBuf {
    staged().join(PREFIX.trim_start_matches('/')).join(path)
}

#[test]
fn the_library_has_its_soname_and_its_links() {
    let version = env!("CARGO_PKG_VERSION");
    let library = installed(&format!("lib/libhangup.so.{version}"));
    let output = abi::succeed(Command::new("readelf").arg("-d").arg(&library)).stdout;
    let output = String::from_utf8_lossy(&output);
    assert!(output.contains("soname: [libhangup.so.0]"), "{output}");
    assert!(output.contains("NODELETE"), "{output}");
    for link in ["lib/libhangup.so.0", "lib/libhangup.so"] {
        let link = installed(link);
        assert_eq!(
            fs::canonicalize(&link).expect("a link"),
            fs::canonicalize(&library).expect("the library")
        );
        // Relative, so that the staged directory can be moved.
        assert!(fs::read_link(&link).expect("a link").is_relative());
    }
}

#[test]
fn pkg_config_finds_it() {
    abi::require("pkg-config", "apt-get install pkg-config, or make deps");
    let flags = |wanted: &[&str]| {
        let mut ask = Command::new("pkg-config");
        ask.args(wanted).arg("hangup");
        ask.env("PKG_CONFIG_PATH", installed("lib/pkgconfig"))
            .env("PKG_CONFIG_SYSROOT_DIR", staged());
        String::from_utf8_lossy(&abi::succeed(&mut ask).stdout).trim().to_owned()
    };
    assert_eq!(flags(&["--modversion"]), env!("CARGO_PKG_VERSION"));
    let build = |source: &str, text: &str, compiler, arguments: &[&str], link: &str| {
        let dir = abi::scratch(&format!("pkg-config-{source}-{}", arguments.len()));
        fs::write(dir.join(source), text).expect("a source file");
        let mut compile = Command::new(compiler);
        compile
            .args(abi::WARNINGS)
            .args(arguments)
            .arg(dir.join(source))
            .arg("-o")
            .arg(dir.join("program"));
        compile.args(flags(&["--cflags"]).split_whitespace()).args(link.split_whitespace());
        abi::succeed(&mut compile);
        abi::succeed(Command::new(dir.join("program")).env("LD_LIBRARY_PATH", installed("lib")));
    };
    build("program.c", PROGRAM_C, abi::cc(), &["-std=c99"], &flags(&["--libs"]));
    build("program.cpp", PROGRAM_CPP, abi::cxx(), &["-std=c++17"], &flags(&["--libs"]));

    // The static library, with the libraries that pkg-config names for it.
    let shared_flag = "-lhangup";
    let link = flags(&["--libs", "--static"]).replace(shared_flag, "-l:libhangup.a");
    build("program.c", PROGRAM_C, abi::cc(), &["-std=c99", "-g"], &link);
}

#[test]
fn cmake_finds_it() {
    if !abi::has("cmake") {
        eprintln!("skipped: no cmake (make deps installs it)");
        return;
    }
    let dir = abi::scratch("cmake");
    fs::write(dir.join("program.c"), PROGRAM_C).expect("a source file");
    fs::write(dir.join("program.cpp"), PROGRAM_CPP).expect("a source file");
    let project = "cmake_minimum_required(VERSION 3.16)\n\
        project(program C CXX)\n\
        set(CMAKE_CXX_STANDARD 17)\n\
        find_package(hangup 0.1 REQUIRED)\n\
        add_executable(in_c program.c)\n\
        target_link_libraries(in_c hangup::hangup)\n\
        add_executable(in_cpp program.cpp)\n\
        target_link_libraries(in_cpp PRIVATE hangup::hangup)\n\
        add_executable(in_c_static program.c)\n\
        target_link_libraries(in_c_static hangup::static)\n";
    fs::write(dir.join("CMakeLists.txt"), project).expect("a project");
    let build = dir.join("build");
    let mut configure = Command::new("cmake");
    configure.arg("-S").arg(&dir).arg("-B").arg(&build);
    configure.arg(format!("-DCMAKE_PREFIX_PATH={}", installed("").display()));
    abi::succeed(&mut configure);
    abi::succeed(Command::new("cmake").arg("--build").arg(&build));
    for program in ["in_c", "in_cpp", "in_c_static"] {
        abi::succeed(&mut Command::new(build.join(program)));
    }
    // Another version than this library's.
    let later = project.replace("hangup 0.1", "hangup 0.9");
    fs::write(dir.join("CMakeLists.txt"), later).expect("a project");
    let output = configure.output().expect("cmake runs");
    assert!(
        !output.status.success(),
        "find_package(hangup 0.9) found {}",
        env!("CARGO_PKG_VERSION")
    );
}
