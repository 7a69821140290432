//! The page in a browser, before live nodes.

use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};

use crate::chromium::Browser;
use crate::cut::Way;
use crate::harness::{Node, address, sections};
use crate::pair::{ONE, relation, start_one, start_two};

const WIDTH: u32 = 1280;
const HEIGHT: u32 = 800;

fn set(node: &Node, device: &str, state: &str) {
    let path = format!(
        "/api/v1/devices/{}",
        device
            .replace('/', "%2F")
            .replace(':', "%3A")
            .replace(' ', "%20")
    );
    let answer = node.put(&path, &format!("{{\"state\":\"{state}\"}}"));
    assert!(answer.status < 300, "{answer:?}");
}

fn cell(device: &str, state: &str) -> String {
    format!("document.querySelector('.cell[data-key=\"{device}\"][data-state={state}]')")
}

fn live(browser: &mut Browser) {
    browser.until("document.querySelector('#connection.live')");
}

/// A lamp lights when the other node changes it, and a click says why.
pub(crate) fn a_lamp_lights_and_is_explained(program: &Path) {
    let (at_one, at_two) = (address(), address());
    let (one, two) = (start_one(at_one, at_two), start_two(at_two, at_one));
    let mut browser = Browser::start(program, WIDTH, HEIGHT);
    browser.open(&one.url);
    live(&mut browser);
    set(&two, "Custom:door", "INUSE");
    browser.until(&cell("Custom:door", "INUSE"));
    set(&one, "Custom:door", "RINGING");
    browser.until(&cell("Custom:door", "RINGINUSE"));
    browser.click(".cell[data-key='Custom:door']");
    browser.until("document.querySelectorAll('#drawer .entity').length === 2");
    browser
        .until("document.querySelector('#drawer').innerText.includes('the Lampwire of instance2')");
    browser.until("document.querySelector('#drawer').innerText.includes('confirmed')");
    // What changes while it is open is shown.
    set(&two, "Custom:door", "NOT_INUSE");
    browser.until("document.querySelector('#drawer .why').innerText.startsWith('RINGING')");
    // This node's own word, from the page.
    browser.enter("#drawer form select", "BUSY");
    browser.click("#drawer form .main");
    browser.until(&cell("Custom:door", "BUSY"));
    browser.click("#drawer form .plain");
    browser.until(&cell("Custom:door", "NOT_INUSE"));
    browser.click("#drawer .close");
    // The exchange has the publications at the other, with their age.
    browser.click("[data-view=exchange]");
    browser.until("[...document.querySelectorAll('#view-exchange th')].some((it) => it.innerText === 'Open since')");
    browser
        .until("document.querySelector('#view-exchange tbody tr').innerText.match(/(now|s ago)/)");
    // The changes are listed.
    browser.click("[data-view=changes]");
    browser.until("document.querySelectorAll('#view-changes tbody tr').length >= 4");
    assert_eq!(browser.complaints(), [""; 0]);
}

/// Thousands scroll: only what is to be seen exists. They are found by name, state and peer.
pub(crate) fn five_thousand_lamps_scroll_and_are_found(program: &Path) {
    let (at_one, at_two) = (address(), address());
    let (one, two) = (start_one(at_one, at_two), start_two(at_two, at_one));
    set(&two, "Custom:theirs", "ONHOLD");
    let host = one.url.strip_prefix("http://").unwrap();
    let mut writer = TcpStream::connect(host).unwrap();
    let mut reader = writer.try_clone().unwrap();
    let writing = std::thread::spawn(move || {
        let states = ["NOT_INUSE", "INUSE", "NOT_INUSE", "RINGING"];
        for number in 0..5000 {
            let body = format!("{{\"state\":\"{}\"}}", states[number % 4]);
            write!(
                writer,
                "PUT /api/v1/devices/PJSIP%2F{number:04} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            )
            .unwrap();
        }
        write!(
            writer,
            "GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        )
        .unwrap();
    });
    std::io::copy(&mut reader, &mut std::io::sink()).unwrap();
    writing.join().unwrap();

    let mut browser = Browser::start(program, WIDTH, HEIGHT);
    browser.open(&one.url);
    live(&mut browser);
    browser.until("document.querySelector('#count-lamps').innerText === '5001'");
    browser.until("document.querySelectorAll('.cell').length > 20");
    assert!(
        browser
            .value("document.querySelectorAll('.cell').length")
            .as_u64()
            .unwrap()
            < 400
    );
    browser.value("document.querySelector('#lamps').scrollTop = 1e9");
    browser.until("document.querySelector('.cell[data-key=\"PJSIP/4999\"]')");
    assert!(
        browser
            .value("document.querySelectorAll('.cell').length")
            .as_u64()
            .unwrap()
            < 400
    );
    browser.enter("#search", "pjsip/123");
    browser.until("[...document.querySelectorAll('.cell')].map((it) => it.dataset.key).sort().join() === 'PJSIP/0123,PJSIP/1123,PJSIP/1230,PJSIP/1231,PJSIP/1232,PJSIP/1233,PJSIP/1234,PJSIP/1235,PJSIP/1236,PJSIP/1237,PJSIP/1238,PJSIP/1239,PJSIP/2123,PJSIP/3123,PJSIP/4123' || [...document.querySelectorAll('.cell')].length === 10");
    browser.click(".chip[data-state=RINGING]");
    browser.until(
        "[...document.querySelectorAll('.cell')].every((it) => it.dataset.state === 'RINGING')",
    );
    browser.click(".chip[data-state=RINGING]");
    browser.enter("#search", "");
    browser.enter("#by-peer", "instance2");
    browser.until("[...document.querySelectorAll('.cell')].map((it) => it.dataset.key).join() === 'Custom:theirs'");
    assert_eq!(browser.complaints(), [""; 0]);
}

/// A peer that is gone is shown as lost; so is the node itself, and what happened meanwhile is there when it is back.
pub(crate) fn who_is_lost_is_shown(program: &Path) {
    let (at_one, at_two) = (address(), address());
    let (one, two) = (start_one(at_one, at_two), start_two(at_two, at_one));
    let mut browser = Browser::start(program, WIDTH, HEIGHT);
    browser.open(&format!("{}/#/peers", one.url));
    live(&mut browser);
    browser.until("document.querySelector('.card.up[data-peer=instance2]')");
    drop(two);
    browser.until("document.querySelector('.card.down[data-peer=instance2]')");
    browser.until("document.querySelector('#web .node.down')");
    assert_eq!(
        browser.value("document.querySelector('#banner').hidden"),
        true
    );
    drop(one);
    browser.until(
        "!document.querySelector('#banner').hidden && document.querySelector('#connection.lost')",
    );
    let one = start_one(at_one, at_two);
    set(&one, "Custom:back", "INUSE");
    live(&mut browser);
    browser.until("document.querySelector('#banner').hidden");
    browser.click("[data-view=lamps]");
    browser.until(&cell("Custom:back", "INUSE"));
    assert_eq!(browser.complaints(), [""; 0]);
}

/// The connection breaks before anything has ever happened, and something happens meanwhile.
pub(crate) fn nothing_is_missed_over_a_break_before_the_first_event(program: &Path) {
    let node = Node::start(address(), "", "");
    set(&node, "Custom:window", "BUSY");
    let way = Way::to(&node);
    let mut browser = Browser::start(program, WIDTH, HEIGHT);
    browser.open(&way.url);
    live(&mut browser);
    // The listings have been read.
    browser.until(&cell("Custom:window", "BUSY"));
    way.cut();
    browser.until("document.querySelector('#connection.lost')");
    set(&node, "Custom:door", "INUSE");
    way.mend();
    live(&mut browser);
    browser.until(&cell("Custom:door", "INUSE"));
    assert_eq!(browser.complaints(), [""; 0]);
}

/// A mailbox shows its owner's counts whoever speaks, and goes when nobody says anything of it any more.
pub(crate) fn mailboxes_come_change_and_go(program: &Path) {
    let (at_one, at_two) = (address(), address());
    let hub = format!("entity_id={ONE}\nrelay=yes");
    let one = Node::start(at_one, &hub, &relation("instance1", "instance2", at_two));
    let two = start_two(at_two, at_one);
    let path = "/api/v1/mailboxes/100%40default";
    let mut browser = Browser::start(program, WIDTH, HEIGHT);
    browser.open(&format!("{}/#/mailboxes", one.url));
    live(&mut browser);
    let shows = |text: &str| {
        format!(
            "document.querySelector('#mailboxes .cell[data-key=\"100@default\"]').ariaLabel === '100@default: {text}'"
        )
    };
    assert_eq!(two.put(path, r#"{"new":3,"old":1}"#).status, 201);
    browser.until(&shows("3 new, 1 old"));
    // This node merely knows the mailbox.
    assert_eq!(one.put(path, r#"{"new":0,"old":0}"#).status, 201);
    browser.click("[data-view=changes]");
    browser.until(
        "document.querySelectorAll('#view-changes tbody tr[data-kind=mailbox]').length === 2",
    );
    browser.click("[data-view=mailboxes]");
    browser.until(&shows("3 new, 1 old"));
    assert_eq!(one.get(path).json["new"], 3);
    assert_eq!(one.delete(path).status, 204);
    browser.click("[data-view=changes]");
    browser
        .until("document.querySelector('#view-changes tbody tr[data-kind=mailbox]').innerText.includes('taken back')");
    browser.click("[data-view=mailboxes]");
    browser.until(&shows("3 new, 1 old"));
    // The same without an owner elsewhere.
    let own = "/api/v1/mailboxes/200%40default";
    assert_eq!(one.put(own, r#"{"new":1,"old":0}"#).status, 201);
    browser.until("document.querySelector('#count-mailboxes').innerText === '2'");
    assert_eq!(one.delete(own).status, 204);
    browser.until("document.querySelector('#count-mailboxes').innerText === '1'");
    assert_eq!(browser.complaints(), [""; 0]);
}

/// Events that the test makes, and how many readings of the listing of devices there were in all, and at most at a time.
const OWN_EVENTS: &str = r"
    const real = fetch;
    window.readings = { all: 0, now: 0, most: 0 };
    window.fetch = async (path, options) => {
        if (path.endsWith('/events')) {
            const body = new ReadableStream({ start: (stream) => {
                window.say = (text) => stream.enqueue(new TextEncoder().encode(text));
                say(': following\nid: 1\n\n');
            } });
            return new Response(body);
        }
        if (!path.includes('/devices?')) return real(path, options);
        readings.all += 1;
        readings.now += 1;
        readings.most = Math.max(readings.most, readings.now);
        const answer = await real(path, options);
        await new Promise((done) => setTimeout(done, 100));
        readings.now -= 1;
        return answer;
    };
";

/// Two losses at once: the listings are read one after the other, and what was told before the second counts for nothing.
pub(crate) fn two_losses_in_a_row_are_mended_one_after_the_other(program: &Path) {
    let node = Node::alone();
    set(&node, "Custom:door", "INUSE");
    let mut browser = Browser::start(program, WIDTH, HEIGHT);
    browser.before(OWN_EVENTS);
    browser.open(&node.url);
    live(&mut browser);
    browser.until(&cell("Custom:door", "INUSE"));
    browser.until("readings.now === 0");
    let event = |state: &str| {
        let data = format!(
            r#"{{"device":"Custom:door","state":"{state}","eid":"{ONE}","previous":null,"entities":[{{"eid":"{ONE}","state":"{state}","cachable":true,"source":"local","peer":null,"updated_at":"2026-11-22T10:00:00.123Z"}}]}}"#
        );
        format!("event: device\\ndata: {}\\n\\n", data.replace('"', "\\\""))
    };
    let (lost, reset) = (
        "event: lost\\ndata: {\\\"lost\\\":1}\\n\\n",
        "event: reset\\ndata: {\\\"reason\\\":\\\"\\\"}\\n\\n",
    );
    browser.value("readings.all = readings.most = 0");
    browser.value(&format!("say(\"{lost}{}{reset}{lost}\")", event("RINGING")));
    browser.until("readings.all === 2 && readings.now === 0");
    browser.until(&cell("Custom:door", "INUSE"));
    assert_eq!(browser.value("readings.most"), 1);
    browser.value(&format!("say(\"{}\")", event("BUSY")));
    browser.until(&cell("Custom:door", "BUSY"));
    assert_eq!(browser.value("readings.all"), 2);
    assert_eq!(browser.complaints(), [""; 0]);
}

/// The filter by peer offers the peers of now, and none that is no more keeps lamps away.
pub(crate) fn the_filter_by_peer_follows_a_reload(program: &Path) {
    let (at_one, at_two) = (address(), address());
    let (one, two) = (start_one(at_one, at_two), start_two(at_two, at_one));
    set(&two, "Custom:theirs", "ONHOLD");
    set(&one, "Custom:ours", "BUSY");
    let mut browser = Browser::start(program, WIDTH, HEIGHT);
    browser.open(&one.url);
    live(&mut browser);
    browser.until(&cell("Custom:theirs", "ONHOLD"));
    let options = |names: &str| {
        format!(
            "[...document.querySelectorAll('#by-peer option')].map((it) => it.value).join() === '{names}'"
        )
    };
    browser.until(&options(",this node,instance2"));
    browser.enter("#by-peer", "instance2");
    browser.until("document.querySelectorAll('.cell').length === 1");
    let renamed = relation("instance1", "instance2", at_two)
        .replace(
            "[instance2]\ntype=asterisk-publication",
            "[branch]\ntype=asterisk-publication",
        )
        .replace("devicestate=instance2\n", "devicestate=branch\n")
        .replace("mwi=instance2\n", "mwi=branch\n");
    one.configure(&(sections(at_one, &format!("entity_id={ONE}")) + &renamed));
    assert_eq!(one.post("/api/v1/reload", "").status, 200);
    browser.until(&options(",this node,branch"));
    browser.until("document.querySelector('#by-peer').value === ''");
    browser.until("document.querySelectorAll('.cell').length === 2");
    assert_eq!(browser.complaints(), [""; 0]);
}

/// The token is asked for, a wrong one is told, and the right one is kept for the tab.
pub(crate) fn a_wrong_token_is_told(program: &Path) {
    let node = Node::start(address(), "http_token=s3cret", "");
    let mut browser = Browser::start(program, WIDTH, HEIGHT);
    browser.open(&node.url);
    browser.until("document.querySelector('#ask-token').open && document.querySelector('#token-wrong').hidden");
    browser.enter("#token", "wr0ng");
    browser.click("#ask-token .main");
    browser.until("document.querySelector('#ask-token').open && !document.querySelector('#token-wrong').hidden");
    // What is no token of any node, nor fit for a header, locks nobody out either.
    for wrong in ["ключ", "\u{20ac}\u{1f512}"] {
        browser.value("document.querySelector('#token-wrong').hidden = true");
        browser.enter("#token", wrong);
        browser.click("#ask-token .main");
        browser.until("document.querySelector('#ask-token').open && !document.querySelector('#token-wrong').hidden");
    }
    browser.enter("#token", "s3cret");
    browser.click("#ask-token .main");
    live(&mut browser);
    browser.click("#set-device");
    browser.enter("#drawer form input", "Custom:door");
    browser.click("#drawer form .main");
    browser.until(&cell("Custom:door", "NOT_INUSE"));
    browser.value("location.reload()");
    live(&mut browser);
    browser.until(&cell("Custom:door", "NOT_INUSE"));
    assert_eq!(
        browser.value("document.querySelector('#ask-token').open"),
        false
    );
    assert_eq!(browser.complaints(), [""; 0]);
}

/// Where the pictures go: LAMPWIRE_SCREENSHOTS, else beside the build's other output.
fn pictures() -> PathBuf {
    let path = std::env::var_os("LAMPWIRE_SCREENSHOTS").map_or_else(
        || Path::new(env!("CARGO_TARGET_TMPDIR")).join("screenshots"),
        PathBuf::from,
    );
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// Pictures in light, dark and on a telephone. Nothing may stick out at the side.
pub(crate) fn it_looks_as_it_should(program: &Path) {
    let (at_one, at_two): (Ipv4Addr, Ipv4Addr) = (address(), address());
    let away = address();
    let relations =
        relation("instance1", "instance2", at_two) + &relation("instance1", "warehouse", away);
    let one = Node::start(at_one, &format!("entity_id={ONE}"), &relations);
    let two = start_two(at_two, at_one);
    let states = [
        "NOT_INUSE",
        "INUSE",
        "NOT_INUSE",
        "RINGING",
        "BUSY",
        "NOT_INUSE",
        "ONHOLD",
        "UNAVAILABLE",
        "NOT_INUSE",
    ];
    for number in 0..90_usize {
        let device = format!("PJSIP/{}", 1001 + number);
        let node = if number % 3 == 0 { &two } else { &one };
        set(node, &device, states[number * 7 % states.len()]);
    }
    set(&two, "PJSIP/1004", "INUSE");
    set(&one, "PJSIP/1004", "RINGING");
    set(&one, "Custom:Night service", "INUSE");
    set(&two, "Custom:Front door", "UNKNOWN");
    for number in 0..12_usize {
        let body = format!("{{\"new\":{},\"old\":{}}}", number * 5 % 4, number * 3 % 7);
        let path = format!("/api/v1/mailboxes/{}%40default", 1001 + number);
        assert_eq!(two.put(&path, &body).status, 201);
    }
    let mut browser = Browser::start(program, WIDTH, HEIGHT);
    let pictures = pictures();
    browser.open(&one.url);
    live(&mut browser);
    browser.until(&cell("PJSIP/1004", "RINGINUSE"));
    browser.until("document.querySelector('#count-lamps').innerText === '92' && document.querySelector('#count-mailboxes').innerText === '12'");
    for (device, state) in [
        ("PJSIP/1006", "RINGING"),
        ("PJSIP/1006", "INUSE"),
        ("Custom:Front door", "INUSE"),
        ("PJSIP/1006", "NOT_INUSE"),
    ] {
        set(&two, device, state);
    }
    browser.until(&cell("Custom:Front door", "INUSE"));
    for (name, width, height, dark) in [
        ("light", WIDTH, HEIGHT, false),
        ("dark", WIDTH, HEIGHT, true),
        ("telephone", 390, 844, false),
        ("telephone-dark", 390, 844, true),
    ] {
        browser.look(width, height, dark);
        for view in ["lamps", "mailboxes", "peers", "exchange", "changes"] {
            browser.click(&format!("[data-view={view}]"));
            browser.until(&format!("!document.querySelector('#view-{view}').hidden"));
            browser.until(
                "document.querySelector('main > section:not([hidden])').innerText.length > 20",
            );
            if view == "peers" {
                browser.until("document.querySelector('.card.down[data-peer=warehouse]')");
            }
            browser.until("document.documentElement.scrollWidth <= innerWidth");
            browser.picture(&pictures.join(format!("{name}-{view}.png")));
        }
        browser.click("[data-view=lamps]");
        browser.click(".cell[data-key='PJSIP/1004']");
        browser.until("document.querySelectorAll('#drawer .entity').length === 2");
        browser.picture(&pictures.join(format!("{name}-explain.png")));
        browser.click("#drawer .close");
    }
    assert_eq!(browser.complaints(), [""; 0]);
}
