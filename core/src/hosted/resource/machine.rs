//! What the operating system says about the process and where it runs.

use std::borrow::{Cow, ToOwned};
use std::path::{Path, PathBuf};
use std::string::String;
use std::vec::Vec;

use super::ResourceValue;
use crate::hosted::rng::{self, ThreadRng};

type Found = Vec<(&'static str, ResourceValue)>;

/// The files and variables of a machine.
pub(super) struct Machine<'a> {
    root: PathBuf,
    variable: &'a dyn Fn(&str) -> Option<String>,
}

impl Machine<'static> {
    /// The machine on which this process runs.
    pub(super) fn this() -> Self {
        Self {
            root: PathBuf::from("/"),
            variable: &|name| std::env::var(name).ok(),
        }
    }
}

impl Machine<'_> {
    pub(super) fn service(&self) -> Found {
        let name: Cow<'static, str> = match executable_name() {
            Some(name) => Cow::Owned(std::format!("unknown_service:{name}")),
            None => Cow::Borrowed("unknown_service"),
        };
        std::vec![
            ("service.name", name.into()),
            ("service.instance.id", rng::uuid_v4(&mut ThreadRng).into()),
        ]
    }

    pub(super) fn host(&self) -> Found {
        let mut found = Found::new();
        put(&mut found, "host.name", self.host_name());
        put(&mut found, "host.arch", arch_word(std::env::consts::ARCH));
        put(&mut found, "host.id", self.host_id());
        put(&mut found, "os.type", Some(os_word(std::env::consts::OS)));
        put(&mut found, "os.version", self.os_version());
        found
    }

    pub(super) fn process(&self) -> Found {
        let mut found = Found::new();
        found.push(("process.pid", std::process::id().into()));
        put(&mut found, "process.executable.name", executable_name());
        put(&mut found, "process.owner", self.owner());
        put(&mut found, "process.runtime.name", Some("rust"));
        put(
            &mut found,
            "process.runtime.version",
            option_env!("SPANDREL_RUSTC_VERSION"),
        );
        found
    }

    pub(super) fn process_command(&self) -> Found {
        let arguments: Vec<String> = std::env::args_os()
            .map(|argument| argument.to_string_lossy().into_owned())
            .collect();
        let mut found = Found::new();
        put(&mut found, "process.command", arguments.first().cloned());
        put(
            &mut found,
            "process.command_line",
            Some(arguments.join(" ")),
        );
        found
    }

    pub(super) fn container(&self) -> Found {
        let mut found = Found::new();
        let id = self
            .lines_of("proc/self/cgroup", container_of_cgroup)
            .or_else(|| self.lines_of("proc/self/mountinfo", container_of_mount));
        put(&mut found, "container.id", id);
        found
    }

    pub(super) fn kubernetes(&self) -> Found {
        let mut found = Found::new();
        if (self.variable)("KUBERNETES_SERVICE_HOST").is_none() {
            return found;
        }
        for (key, short) in [
            ("k8s.cluster.name", "CLUSTER_NAME"),
            ("k8s.namespace.name", "POD_NAMESPACE"),
            ("k8s.node.name", "NODE_NAME"),
            ("k8s.pod.name", "POD_NAME"),
            ("k8s.pod.uid", "POD_UID"),
            ("k8s.container.name", "CONTAINER_NAME"),
            ("k8s.deployment.name", "DEPLOYMENT_NAME"),
        ] {
            let long = key.replace('.', "_").to_ascii_uppercase();
            let operator = std::format!("OTEL_RESOURCE_ATTRIBUTES_{short}");
            let value = [long.as_str(), short, &operator]
                .into_iter()
                .find_map(|name| (self.variable)(name).filter(|text| !text.is_empty()));
            put(&mut found, key, value);
        }
        let is_known = |key| found.iter().any(|(known, _)| *known == key);
        if !is_known("k8s.namespace.name") {
            let namespace = self.read("var/run/secrets/kubernetes.io/serviceaccount/namespace");
            put(&mut found, "k8s.namespace.name", namespace);
        }
        found
    }

    /// The text of a file without blanks around it; `None` if there is none.
    fn read(&self, path: impl AsRef<Path>) -> Option<String> {
        let text = std::fs::read_to_string(self.root.join(path)).ok()?;
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// The first finding of `find` in the lines of a file.
    fn lines_of(&self, path: &str, find: fn(&str) -> Option<&str>) -> Option<String> {
        let text = self.read(path)?;
        text.lines().find_map(find).map(ToOwned::to_owned)
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn host_name(&self) -> Option<String> {
        self.read("proc/sys/kernel/hostname")
            .or_else(|| self.read("etc/hostname"))
            .or_else(|| (self.variable)("HOSTNAME").filter(|name| !name.is_empty()))
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn host_name(&self) -> Option<String> {
        let name = gethostname::gethostname().to_string_lossy().into_owned();
        (!name.is_empty()).then_some(name)
    }

    /// The id that belongs to the machine. A container's file of that name is the image's, so it
    /// would be the same everywhere.
    fn host_id(&self) -> Option<String> {
        let is_container = self.root.join(".dockerenv").exists()
            || self.root.join("run/.containerenv").exists()
            || (self.variable)("KUBERNETES_SERVICE_HOST").is_some();
        if is_container {
            return None;
        }
        ["etc/machine-id", "var/lib/dbus/machine-id", "etc/hostid"]
            .into_iter()
            .find_map(|path| self.read(path))
    }

    /// The version of the system that its makers give it, such as `12` or `24.04`.
    fn os_version(&self) -> Option<String> {
        ["etc/os-release", "usr/lib/os-release"]
            .into_iter()
            .find_map(|path| {
                self.lines_of(path, |line| {
                    let value = line.strip_prefix("VERSION_ID=")?;
                    let value = value.trim().trim_matches(['"', '\'']);
                    (!value.is_empty()).then_some(value)
                })
            })
    }

    /// The name of the user as whom the process runs.
    fn owner(&self) -> Option<String> {
        let named = || {
            let status = self.read("proc/self/status")?;
            let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
            let id = ids.split_whitespace().next()?;
            let users = self.read("etc/passwd")?;
            users.lines().find_map(|line| {
                let mut fields = line.split(':');
                let name = fields.next()?;
                (fields.nth(1) == Some(id) && !name.is_empty()).then(|| name.to_owned())
            })
        };
        named().or_else(|| {
            ["USER", "LOGNAME", "USERNAME"]
                .into_iter()
                .find_map(|name| (self.variable)(name).filter(|text| !text.is_empty()))
        })
    }
}

fn put<T: Into<Cow<'static, str>>>(found: &mut Found, key: &'static str, value: Option<T>) {
    if let Some(text) = value {
        found.push((key, ResourceValue::String(text.into())));
    }
}

/// The file name of the running program, without its folder.
fn executable_name() -> Option<String> {
    let path = std::env::current_exe()
        .ok()
        .or_else(|| std::env::args_os().next().map(Into::into))?;
    let name = path.file_name()?.to_string_lossy();
    // Linux marks a program whose file was replaced while it runs.
    let name = name.strip_suffix(" (deleted)").unwrap_or(&name);
    (!name.is_empty()).then(|| name.to_owned())
}

/// The container in a line of `/proc/self/cgroup`: the last part of its path, such as
/// `docker-<id>.scope` or `cri-containerd-<id>.scope`.
fn container_of_cgroup(line: &str) -> Option<&str> {
    let (_, last) = line.rsplit_once('/')?;
    let last = last.strip_suffix(".scope").unwrap_or(last);
    let last = last.rsplit(['-', ':']).next().unwrap_or(last);
    is_container_id(last).then_some(last)
}

/// The container in a line of `/proc/self/mountinfo`, where control groups of version 2 do not
/// show it: the folder that its host name is mounted from.
fn container_of_mount(line: &str) -> Option<&str> {
    let source = line.split(' ').nth(3)?;
    let (folder, file) = source.rsplit_once('/')?;
    if !matches!(file, "hostname" | "hosts" | "resolv.conf") {
        return None;
    }
    // A folder of a pod's sandbox is not one of the container.
    let mut parts = folder.rsplit('/');
    let found = parts.by_ref().find(|part| is_container_id(part))?;
    let is_sandbox = parts.next().is_some_and(|above| above.contains("sandbox"));
    (!is_sandbox).then_some(found)
}

fn is_container_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The semantic conventions' word for the architecture, if they have one.
fn arch_word(arch: &str) -> Option<&'static str> {
    Some(match arch {
        "x86_64" => "amd64",
        "x86" => "x86",
        "aarch64" | "arm64ec" => "arm64",
        "arm" => "arm32",
        "powerpc64" => "ppc64",
        "powerpc" => "ppc32",
        "s390x" => "s390x",
        _ => return None,
    })
}

/// The semantic conventions' word for the operating system.
fn os_word(os: &'static str) -> &'static str {
    match os {
        "macos" | "ios" | "tvos" | "watchos" | "visionos" => "darwin",
        "android" => "linux",
        "dragonfly" => "dragonflybsd",
        "illumos" => "solaris",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn words_follow_the_conventions() {
        assert_eq!(arch_word("x86_64"), Some("amd64"));
        assert_eq!(arch_word("aarch64"), Some("arm64"));
        assert_eq!(arch_word("arm"), Some("arm32"));
        assert_eq!(arch_word("riscv64"), None);
        assert_eq!(os_word("macos"), "darwin");
        assert_eq!(os_word("dragonfly"), "dragonflybsd");
        assert_eq!(os_word("windows"), "windows");
    }

    /// A folder with the files of a machine, removed at the end.
    struct Root(PathBuf);

    impl Root {
        fn new(name: &str, files: &[(&str, &str)]) -> Self {
            let pid = std::process::id();
            let root = std::env::temp_dir().join(std::format!("spandrel-machine-{pid}-{name}"));
            for (path, text) in files {
                let path = root.join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            Self(root)
        }

        fn text(&self, found: fn(&Machine<'_>) -> Found, key: &str) -> Option<String> {
            self.text_with(&|_| None, found, key)
        }

        fn text_with(
            &self,
            variable: &dyn Fn(&str) -> Option<String>,
            found: fn(&Machine<'_>) -> Found,
            key: &str,
        ) -> Option<String> {
            let root = self.0.clone();
            let found = found(&Machine { root, variable });
            let (_, value) = found.into_iter().find(|(known, _)| *known == key)?;
            match value {
                ResourceValue::String(text) => Some(text.into_owned()),
                other => Some(std::format!("{other:?}")),
            }
        }
    }

    impl Drop for Root {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    // spec G-010, spec G-011, spec G-012
    #[test]
    fn a_machine_has_an_id_and_a_version_of_its_system() {
        let machine = Root::new(
            "host",
            &[
                ("etc/machine-id", "7ed26d6e4b4b4f7e\n"),
                (
                    "etc/os-release",
                    "NAME=\"Debian\"\nVERSION_ID=\"12\"\nID=debian\n",
                ),
            ],
        );
        assert_eq!(
            machine.text(|it| it.host(), "host.id").as_deref(),
            Some("7ed26d6e4b4b4f7e")
        );
        assert_eq!(
            machine.text(|it| it.host(), "os.version").as_deref(),
            Some("12")
        );
        let second = Root::new("second", &[("var/lib/dbus/machine-id", "second")]);
        assert_eq!(
            second.text(|it| it.host(), "host.id").as_deref(),
            Some("second")
        );
        for mark in [".dockerenv", "run/.containerenv"] {
            let image = [("etc/machine-id", "of the image"), (mark, "")];
            let container = Root::new(&mark.replace('/', "-"), &image);
            assert_eq!(container.text(|it| it.host(), "host.id"), None);
        }
        let nothing = Root::new("nothing", &[("empty", "")]);
        assert_eq!(nothing.text(|it| it.host(), "os.version"), None);
        assert_eq!(nothing.text(|it| it.host(), "host.id"), None);
    }

    // spec G-013
    #[test]
    fn a_process_has_an_owner() {
        let machine = Root::new(
            "owner",
            &[
                ("proc/self/status", "Name:\tx\nUid:\t1000\t0\t0\t0\n"),
                (
                    "etc/passwd",
                    "root:x:0:0::/:/bin/sh\nanna:x:1000:1000::/:/bin/sh\n",
                ),
            ],
        );
        let owner = machine.text(|it| it.process(), "process.owner");
        assert_eq!(owner.as_deref(), Some("anna"));
        let nothing = Root::new("no-owner", &[("empty", "")]);
        let user = |name: &str| (name == "USER").then(|| "bert".to_owned());
        let owner = nothing.text_with(&user, |it| it.process(), "process.owner");
        assert_eq!(owner.as_deref(), Some("bert"));
        assert_eq!(nothing.text(|it| it.process(), "process.owner"), None);
    }

    #[test]
    fn a_container_has_its_id_by_either_version_of_control_groups() {
        for (name, path, line) in [
            (
                "plain",
                "proc/self/cgroup",
                std::format!("5:cpu:/docker/{ID}"),
            ),
            (
                "scope",
                "proc/self/cgroup",
                std::format!("0::/a.slice/docker-{ID}.scope"),
            ),
            (
                "cri",
                "proc/self/cgroup",
                std::format!("1:x:/kubepods/pod7/cri-containerd-{ID}.scope"),
            ),
            (
                "mount",
                "proc/self/mountinfo",
                std::format!(
                    "7 6 8:1 /lib/docker/containers/{ID}/hostname /etc/hostname rw - ext4 x rw"
                ),
            ),
        ] {
            let first = std::format!("0::/\n{line}\n");
            let machine = Root::new(name, &[(path, &first)]);
            let id = machine.text(|it| it.container(), "container.id");
            assert_eq!(id.as_deref(), Some(ID), "{name}");
        }
        let sandbox = std::format!("7 6 8:1 /sandboxes/{ID}/hostname /etc/hostname rw - ext4 x rw");
        for (name, line) in [
            ("host", "0::/user.slice/session-1.scope"),
            ("pod", &sandbox),
        ] {
            let files = [("proc/self/cgroup", line), ("proc/self/mountinfo", line)];
            let machine = Root::new(&std::format!("no-{name}"), &files);
            assert_eq!(
                machine.text(|it| it.container(), "container.id"),
                None,
                "{name}"
            );
        }
    }

    #[test]
    fn kubernetes_is_known_by_its_variables() {
        let machine = Root::new(
            "pod-of-a-cluster",
            &[(
                "var/run/secrets/kubernetes.io/serviceaccount/namespace",
                "shop",
            )],
        );
        let variables = [
            ("KUBERNETES_SERVICE_HOST", "10.0.0.1"),
            ("K8S_POD_NAME", "cart-1"),
            ("POD_NAME", "not this"),
            ("POD_UID", "u-1"),
            ("OTEL_RESOURCE_ATTRIBUTES_NODE_NAME", "node-3"),
            ("CONTAINER_NAME", ""),
        ];
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name)?;
            Some(found.1.to_owned())
        };
        for (key, expected) in [
            ("k8s.pod.name", Some("cart-1")),
            ("k8s.pod.uid", Some("u-1")),
            ("k8s.node.name", Some("node-3")),
            ("k8s.namespace.name", Some("shop")),
            ("k8s.container.name", None),
        ] {
            let found = machine.text_with(&variable, |it| it.kubernetes(), key);
            assert_eq!(found.as_deref(), expected, "{key}");
        }
        assert_eq!(
            machine.text(|it| it.kubernetes(), "k8s.namespace.name"),
            None
        );
    }
}
