//! libavformat through PyAV, in a process of its own that measures one round each time it is asked.

use std::{
    cell::RefCell,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

/// A Python that has PyAV.
pub struct Libavformat {
    python: String,
}

/// One thing that it does again and again.
pub struct Task {
    process: RefCell<Process>,
    file: PathBuf,
}

struct Process {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Libavformat {
    pub fn new(python: String) -> Self {
        Self { python }
    }

    /// Does `what` (`mux` or `demux`) with the access units of `stream`, a file of `format`.
    pub fn task(&self, what: &str, format: &str, stream: &[u8]) -> Task {
        let name = format!("arcly-bench-media-{}-{what}-{}.{format}", std::process::id(), stream.len());
        let file = std::env::temp_dir().join(name);
        std::fs::write(&file, stream).expect("the folder for temporary files can be written to");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/libavformat.py");
        let mut child = Command::new(&self.python)
            .args([script.as_ref(), what.as_ref(), format.as_ref(), file.as_os_str()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python runs");
        let stdin = child.stdin.take().expect("a pipe");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        Task { process: RefCell::new(Process { child, stdin, stdout }), file }
    }
}

impl Task {
    /// CPU time of one access unit in nanoseconds, on average of a round.
    pub fn ns(&self) -> f64 {
        let mut process = self.process.borrow_mut();
        writeln!(process.stdin).expect("the script reads");
        let mut line = String::new();
        process.stdout.read_line(&mut line).expect("the script writes");
        line.trim().parse().unwrap_or_else(|_| panic!("libavformat.py says {line:?}"))
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        let process = self.process.get_mut();
        let _ = process.child.kill();
        let _ = process.child.wait();
        let _ = std::fs::remove_file(&self.file);
    }
}
