//! A browser without a window, driven over the DevTools protocol through pipes: JSON, each message ended by a
//! zero byte.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

/// What Chromium is called.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// The browser of this machine; `None`, with a word on stderr, where there is none.
pub(crate) fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = NAMES.iter().flat_map(|name| std::env::split_paths(&path).map(move |place| place.join(name)));
    let found = { found }.find(|file| file.is_file());
    if found.is_none() {
        let missing = "skipped: no chromium here; apt-get install chromium";
        assert!(std::env::var_os("NIAH_NO_SKIP").is_none(), "{missing}");
        // Straight to stderr: the test harness would hide it.
        let _ = writeln!(std::io::stderr(), "{missing}");
    }
    found
}

/// A browser with one page.
pub(crate) struct Browser {
    child: Child,
    to: File,
    from: BufReader<File>,
    sent: u64,
    session: Option<String>,
    /// Events since the page was last asked for.
    events: Vec<String>,
    _place: tempfile::TempDir,
}

impl Browser {
    pub(crate) fn start(chromium: &Path) -> Self {
        let place = tempfile::tempdir().unwrap();
        let pipes = ["to", "from"].map(|name| place.path().join(name));
        for pipe in &pipes {
            assert!(Command::new("mkfifo").arg(pipe).status().unwrap().success());
        }
        // The browser reads from 3 and writes to 4, which a shell opens for it.
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$@\" 3<\"$TO\" 4>\"$FROM\"", "sh"]).arg(chromium);
        command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]);
        command.args(["--hide-scrollbars", "--remote-debugging-pipe", "about:blank"]);
        command.arg(format!("--user-data-dir={}", place.path().join("profile").display()));
        command.env("TO", &pipes[0]).env("FROM", &pipes[1]).env("HOME", place.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let to = OpenOptions::new().write(true).open(&pipes[0]).unwrap();
        let from = BufReader::new(File::open(&pipes[1]).unwrap());
        let mut browser = Self { child, to, from, sent: 0, session: None, events: Vec::new(), _place: place };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.call("Target.attachToTarget", attach);
        browser.session = Some(session["sessionId"].as_str().unwrap().to_string());
        browser.call("Page.enable", json!({}));
        browser
    }

    /// Calls a method and waits for what it returns.
    pub(crate) fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.sent += 1;
        let mut message = json!({ "id": self.sent, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.to.write_all(format!("{message}\0").as_bytes()).unwrap();
        loop {
            let message = self.read();
            self.events.extend(message["method"].as_str().map(str::to_string));
            if message["id"] == json!(self.sent) {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].clone();
            }
        }
    }

    /// Waits for an event, which may have come already.
    fn wait_for(&mut self, event: &str) {
        while !self.events.iter().any(|seen| seen == event) {
            let message = self.read();
            self.events.extend(message["method"].as_str().map(str::to_string));
        }
    }

    fn read(&mut self) -> Value {
        let mut message = Vec::new();
        self.from.read_until(0, &mut message).unwrap();
        assert_eq!(message.pop(), Some(0), "the browser has ended");
        serde_json::from_slice(&message).unwrap()
    }

    /// Loads a file on a screen of this width.
    pub(crate) fn open(&mut self, file: &Path, width: u32) {
        let screen = json!({
            "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500
        });
        self.call("Emulation.setDeviceMetricsOverride", screen);
        self.events.clear();
        self.call("Page.navigate", json!({ "url": format!("file://{}", file.display()) }));
        self.wait_for("Page.loadEventFired");
    }

    /// The value of an expression of JavaScript. What it waits for has happened.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let asked = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let found = self.call("Runtime.evaluate", asked);
        assert!(found["exceptionDetails"].is_null(), "{expression}: {found}");
        found["result"]["value"].clone()
    }

    /// Clicks into the middle of the first element of a selector, as a mouse does.
    pub(crate) fn click(&mut self, selector: &str) {
        let place = self.value(&format!(
            "(() => {{ const e = document.querySelector({selector:?}); e.scrollIntoView({{block: 'center'}}); \
             const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; }})()"
        ));
        for (kind, count) in [("mousePressed", 1), ("mouseReleased", 1)] {
            let event = json!({
                "type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": count
            });
            self.call("Input.dispatchMouseEvent", event);
        }
        self.settle();
    }

    /// Presses a key.
    pub(crate) fn press(&mut self, key: &str, code: u32) {
        let text = if key == "Enter" { "\r" } else { "" };
        for kind in ["keyDown", "keyUp"] {
            let event = json!({
                "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text
            });
            self.call("Input.dispatchKeyEvent", event);
        }
        self.settle();
    }

    /// Lets what was asked for happen: a link is followed behind the event of its click, and a picture is
    /// taken behind both. It needs no script.
    fn settle(&mut self) {
        let clip = json!({ "x": 0, "y": 0, "width": 1, "height": 1, "scale": 1 });
        self.call("Page.captureScreenshot", json!({ "clip": clip }));
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
