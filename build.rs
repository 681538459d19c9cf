//! Sees to it that the binary has the page as it is now: the compiler does not know that the files
//! of the dashboard are part of it.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=src/serve/dashboard");
}
