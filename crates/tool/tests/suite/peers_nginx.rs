//! A real web server (`nginx`): TLS, passwords, ranges, redirects, and the ways in which a provenance can be missing (cases F).

use std::fs;
use std::process::Command;

use crate::support::peers::{self, Peer};
use crate::support::{World, repository};

/// Starts nginx on `work/www`; `server` goes into its only server block, which listens with TLS where `tls` is set.
fn nginx(world: &World, tls: bool, server: &str) -> Peer {
    let dir = world.root().join("nginx");
    fs::create_dir_all(&dir).unwrap();
    fs::create_dir_all(world.path("www")).unwrap();
    let at = |name: &str| dir.join(name).display().to_string();
    let mut listen = String::new();
    if tls {
        let (certificate, key) = peers::certificate(&dir);
        listen = format!("ssl_certificate {}; ssl_certificate_key {};", certificate.display(), key.display());
    }
    let temporary: String =
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|name| format!("{name}_temp_path {};", at(name))).concat();
    Peer::start(&dir.join("log"), |port| {
        let ssl = if tls { " ssl" } else { "" };
        let config = format!(
            "daemon off; master_process off; pid {pid}; error_log {error};\nevents {{}}\nhttp {{ {temporary} access_log {access};\n\
             server {{ listen 127.0.0.1:{port}{ssl}; {listen} root {root}; default_type application/octet-stream;\n{server}\n}} }}\n",
            pid = at("pid"),
            error = at("error.log"),
            access = at("access.log"),
            root = world.path("www").display(),
        );
        fs::write(dir.join("nginx.conf"), config).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-p").arg(&dir).arg("-c").arg(dir.join("nginx.conf")).arg("-e").arg(dir.join("error.log"));
        command
    })
}

/// A world with the signed package `p-1.0.0.tgz` and its provenance in `work/www`.
fn signed() -> World {
    let mut world = World::new();
    world.plugin("p", "1.0.0");
    // Enough that a connection can break in the middle.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    let noise: Vec<u8> = (0..3_000_000).map(|_| next()).collect();
    world.write("p/noise", noise);
    fs::create_dir(world.path("www")).unwrap();
    world.ok(&format!("plugin package p -d www --sign --keyring {}", repository("testdata/keys/tour.sec.asc").display()));
    world.set("TOOL_KEYRING", repository("testdata/keys/tour.asc").to_str().unwrap());
    world
}

#[test]
fn f_tls_passwords_and_redirects() {
    if !peers::wanted("nginx") {
        return;
    }
    let world = signed();
    let passwords = world.write("passwords", "ann:{PLAIN}hunter2\n");
    let server = nginx(
        &world,
        true,
        &format!(
            "location /private/ {{ alias {www}/; auth_basic x; auth_basic_user_file {passwords}; }}\n\
             location /moved/ {{ rewrite ^/moved/(.*)$ /$1 redirect; }}\n\
             location /away/ {{ return 302 http://127.0.0.1:1/p.tgz; }}\n\
             location /circle/ {{ return 302 $request_uri; }}\n\
             location /typed {{ alias {www}/p-1.0.0.tgz; default_type application/gzip; }}\n",
            www = world.path("www").display(),
            passwords = passwords.display(),
        ),
    );
    let url = |path: &str| format!("https://127.0.0.1:{}{path}", server.port);
    let ca = world.root().join("nginx/tls.crt").display().to_string();
    let ran = world.fails(1, &format!("plugin install {}", url("/p-1.0.0.tgz")));
    assert!(ran.stderr.contains("--ca-file"), "{}", ran.stderr);
    world.ok(&format!("plugin install {} --ca-file {ca}", url("/p-1.0.0.tgz?x=1")));
    world.ok(&format!("plugin install {} --ca-file {ca} --force", url("/moved/p-1.0.0.tgz")));
    world.ok(&format!("plugin install {} --ca-file {ca} --force --verify=false", url("/typed?download=1")));
    let ran = world.fails(1, &format!("plugin install {} --ca-file {ca} --force", url("/away/p.tgz")));
    assert!(ran.stderr.contains("https is never left"), "{}", ran.stderr);
    world.fails(1, &format!("get {} --ca-file {ca}", url("/circle/x")));
    world.fails(4, &format!("get {} --ca-file {ca}", url("/missing")));

    let private = format!("plugin install {} --ca-file {ca} --force", url("/private/p-1.0.0.tgz"));
    world.fails(1, &private);
    let ran = world.tool_with_input(format!("{private} --username ann --password-stdin").split(' '), b"hunter2\n");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let ran = world.tool_with_input(format!("{private} --username ann --password-stdin").split(' '), b"hunter3\n");
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    fs::write(world.root().join("home/.netrc"), "machine 127.0.0.1 login ann password hunter2\n").unwrap();
    world.ok(&private);
}

#[test]
fn f_a_broken_download_goes_on_where_it_broke() {
    if !peers::wanted("nginx") {
        return;
    }
    let world = signed();
    let server = nginx(&world, false, "");
    let port = peers::cutting_proxy(server.port, 1_000_000);
    world.ok(&format!("plugin install http://127.0.0.1:{port}/p-1.0.0.tgz"));
    let log = fs::read_to_string(world.root().join("nginx/access.log")).unwrap();
    assert!(log.contains("\" 206 "), "{log}");
}

#[test]
fn p25_the_ways_in_which_a_provenance_is_missing_differ() {
    if !peers::wanted("nginx") {
        return;
    }
    let world = signed();
    let mut locations = String::from("location ~ /gone/.*prov$ { return 302 http://127.0.0.1:1/x; }\n");
    for status in [401, 403, 404, 500, 503] {
        locations += &format!("location ~ ^/{status}/.*prov$ {{ return {status}; }}\n");
    }
    locations += "location ~ ^/[0-9a-z]+/(.*)$ { try_files /$1 =404; }";
    let server = nginx(&world, false, &locations);
    fs::create_dir_all(world.root().join("home/.config/tool")).unwrap();
    fs::write(world.root().join("home/.config/tool/config.yaml"), "http:\n  retries: 0\n").unwrap();
    let mut messages = Vec::new();
    for (case, code) in [("404", 3), ("403", 3), ("500", 5), ("gone", 5)] {
        let ran = world.fails(code, &format!("plugin install http://127.0.0.1:{}/{case}/p-1.0.0.tgz", server.port));
        messages.push(ran.stderr.replace(case, "x"));
        assert!(!world.plugins().join("p").exists());
    }
    messages.sort();
    messages.dedup();
    assert_eq!(messages.len(), 4, "{messages:?}");
    world.fails(3, &format!("plugin install http://127.0.0.1:{}/401/p-1.0.0.tgz", server.port));
    world.fails(5, &format!("plugin install http://127.0.0.1:{}/503/p-1.0.0.tgz", server.port));
}

#[test]
fn f_what_nginx_packs_on_the_way_is_unpacked() {
    if !peers::wanted("nginx") {
        return;
    }
    let world = signed();
    // Packed whatever is asked for: the package once more, and what vouches for it.
    for name in ["p-1.0.0.tgz", "p-1.0.0.tgz.prov"] {
        let mut command = Command::new("gzip");
        assert!(command.args(["--keep", "--suffix", ".gz"]).arg(world.path("www").join(name)).status().unwrap().success());
    }
    let server = nginx(&world, false, "gzip_static always;");
    let url = format!("http://127.0.0.1:{}/p-1.0.0.tgz", server.port);
    world.ok(&format!("plugin install {url}"));
    world.ok(&format!("get {url} -o got.tgz"));
    assert_eq!(fs::read(world.path("got.tgz")).unwrap(), fs::read(world.path("www/p-1.0.0.tgz")).unwrap());
}

#[test]
fn f_nginx_that_wants_a_client_certificate_is_told_from_one_that_nobody_trusts() {
    if !peers::wanted("nginx") {
        return;
    }
    let world = signed();
    let dir = world.root().join("nginx");
    let locations = format!("ssl_verify_client on; ssl_client_certificate {};", dir.join("tls.crt").display());
    let server = nginx(&world, true, &locations);
    let certificate = dir.join("tls.crt");
    let url = format!("https://127.0.0.1:{}/p-1.0.0.tgz", server.port);
    let unknown = world.fails(1, &format!("plugin install {url}"));
    assert!(unknown.stderr.contains("--ca-file") && !unknown.stderr.contains("--cert-file"), "{}", unknown.stderr);
    let wanted = world.fails(1, &format!("plugin install --ca-file {} {url}", certificate.display()));
    assert!(wanted.stderr.contains("--cert-file") && !wanted.stderr.contains("--ca-file"), "{}", wanted.stderr);
}
