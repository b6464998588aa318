//! Compiles the contracts: messages and gRPC code, field rules as `Validate`, events as `Event`, and the descriptor set.

mod rules;

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    println!("cargo:rerun-if-changed=plaza");
    println!("cargo:rerun-if-changed=buf");
    println!("cargo:rerun-if-changed=build");

    let mut files = Vec::new();
    collect(Path::new("plaza"), &mut files)?;
    files.sort();

    let mut compiler = protox::Compiler::new(["."])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(&files)?;
    // These bytes keep the options (access rules, field rules) that `prost_types` would drop.
    let descriptors = compiler.encode_file_descriptor_set();
    fs::write(out.join("descriptors.bin"), &descriptors)?;

    tonic_prost_build::configure()
        .codec_path("crate::codec::Checked")
        .bytes(".plaza.media.v1")
        .type_attribute(".plaza.events.v1", "#[derive(serde::Serialize, serde::Deserialize)]")
        .type_attribute(".plaza.events.v1", "#[serde(default)]")
        .compile_fds(compiler.file_descriptor_set())?;

    let pool = DescriptorPool::decode(descriptors.as_slice())?;
    fs::write(out.join("rules.rs"), rules::generate(&pool)?)?;
    fs::write(out.join("events.rs"), events(&pool)?)?;
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|x| x == "proto") {
            files.push(path);
        }
    }
    Ok(())
}

/// `impl Event` for every message that carries the option `plaza.events.v1.event`.
fn events(pool: &DescriptorPool) -> Result<String, Box<dyn Error>> {
    let option = pool.get_extension_by_name("plaza.events.v1.event").ok_or("no extension `event`")?;
    let mut code = String::new();
    for message in pool.all_messages().filter(|m| m.options().has_extension(&option)) {
        let options = message.options();
        let value = options.get_extension(&option);
        let names = value.as_message().ok_or("`event` is a message")?;
        write_event(&mut code, &message, names)?;
    }
    Ok(code)
}

fn write_event(code: &mut String, message: &MessageDescriptor, names: &DynamicMessage) -> Result<(), Box<dyn Error>> {
    let text = |field: &str| -> Result<String, Box<dyn Error>> {
        let value = names.get_field_by_name(field).ok_or("unknown field")?;
        Ok(value.as_str().ok_or("not a text")?.to_owned())
    };
    writeln!(
        code,
        "impl crate::Event for crate::events::v1::{} {{\n    const TYPE: &'static str = {:?};\n    const TOPIC: &'static str = {:?};\n    const NAME: &'static str = {:?};\n    const SOURCE: &'static str = {:?};\n}}",
        message.name(),
        text("type")?,
        text("topic")?,
        text("name")?,
        text("source")?,
    )?;
    Ok(())
}
