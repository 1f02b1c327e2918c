"""The console in a real browser, on the whole suite, down to the registers of the plant."""

import re
import signal
from datetime import datetime
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from paho.mqtt import publish
from playwright.sync_api import Locator, Page, expect

from deploy.local.stack import Stack

FILLER = "/#/Bottling/Line1/Filler"


def sign_in(page: Page, password: str) -> None:
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Sign in").click()


def metric(page: Page, name: str) -> Locator:
    """Bring one metric into view; the table renders only what is."""
    page.get_by_label("Filter metrics").fill(name)
    return page.locator(f"[data-metric='{name}']")


def number(text: str) -> float:
    return float(re.sub(r"[\s\u202f]", "", text).replace("\u2212", "-"))


@pytest.fixture
def filler(stack: Stack, session_cookie: str, page: Page) -> Page:
    """Show the filler, signed in."""
    name, _, value = session_cookie.partition("=")
    page.context.add_cookies([{"name": name, "value": value, "url": stack.console_url}])
    page.goto(stack.console_url + FILLER)
    expect(page.get_by_role("heading", name="Filler")).to_be_visible()
    expect(page.get_by_test_id("link")).to_contain_text("live")
    return page


def test_a_wrong_password_is_refused_with_a_message(stack: Stack, page: Page) -> None:
    page.goto(stack.console_url)
    sign_in(page, "not the password")
    expect(page.get_by_role("alert")).not_to_be_empty()
    expect(page.get_by_role("tree")).to_have_count(0)
    sign_in(page, stack.settings.console_password)
    expect(page.get_by_role("tree")).to_be_visible()


def test_signing_out_ends_the_session(filler: Page) -> None:
    filler.get_by_role("button", name="Sign out").click()
    expect(filler.get_by_role("button", name="Sign in")).to_be_visible()
    filler.reload()
    expect(filler.get_by_role("button", name="Sign in")).to_be_visible()


def test_the_tree_has_the_plant_and_leads_to_its_devices(filler: Page) -> None:
    tree = filler.get_by_role("tree")
    for name in ("Bottling", "Line1", "Filler", "Capper", "Labeller"):
        expect(tree.get_by_role("treeitem", name=name)).to_be_visible()
    tree.get_by_role("treeitem", name="Capper").click()
    expect(filler.get_by_role("heading", name="Capper")).to_be_visible()
    expect(filler.get_by_test_id("nodes-online")).to_contain_text("1")


def test_the_tree_is_filtered_and_walked_by_keyboard(filler: Page) -> None:
    filler.keyboard.press("/")
    filler.keyboard.type("label")
    items = filler.get_by_role("tree").get_by_role("treeitem")
    expect(items).to_have_text(["Bottling", "Line1", "Labeller"])
    for key in ("ArrowDown", "End", "Enter"):
        filler.keyboard.press(key)
    expect(filler.get_by_role("heading", name="Labeller")).to_be_visible()


def test_a_value_is_seen_changing_with_its_unit_and_quality(filler: Page) -> None:
    row = metric(filler, "Product/Temperature")
    shown = row.get_by_test_id("value")
    expect(row).to_contain_text("°C")
    expect(row).to_contain_text("Good")
    expect(row).to_have_attribute("data-stale", "false")
    before = shown.inner_text()
    number(before)
    expect(shown).not_to_have_text(before)


def test_a_set_point_is_written_and_comes_back(filler: Page) -> None:
    row = metric(filler, "Setpoints/Speed")
    shown = row.get_by_test_id("value")
    before = number(shown.inner_text())
    wanted = 431 if before != 431 else 432
    shown.get_by_role("button").click()
    editor = filler.get_by_test_id("editor")
    expect(editor).to_contain_text("Allowed: 0 to 600")
    editor.get_by_role("textbox").fill(str(wanted))
    filler.keyboard.press("Enter")
    expect(editor).to_have_count(0)
    expect(shown).to_have_text(str(wanted))
    expect(filler.get_by_test_id("toasts")).to_contain_text(f"Setpoints/Speed is now {wanted}")
    # It is what the device says, not what the page remembers.
    filler.reload()
    expect(metric(filler, "Setpoints/Speed").get_by_test_id("value")).to_have_text(str(wanted))


def test_a_write_is_in_the_audit_log_with_its_outcome(filler: Page) -> None:
    row = metric(filler, "Setpoints/Fill Volume")
    row.get_by_test_id("value").get_by_role("button").click()
    filler.get_by_test_id("editor").get_by_role("textbox").fill("505")
    filler.keyboard.press("Enter")
    expect(row.get_by_test_id("value")).to_have_text("505")
    filler.get_by_role("button", name="Audit log").click()
    rows = filler.get_by_test_id("audit").get_by_role("row").filter(has_text="Fill Volume")
    expect(rows.first).to_contain_text("Written")
    expect(rows.nth(1)).to_contain_text("→ 505")
    filler.keyboard.press("Escape")
    expect(filler.get_by_test_id("audit")).to_have_count(0)


def test_a_value_out_of_range_is_refused_before_it_is_sent(filler: Page) -> None:
    row = metric(filler, "Setpoints/Speed")
    before = row.get_by_test_id("value").inner_text()
    row.get_by_test_id("value").get_by_role("button").click()
    editor = filler.get_by_test_id("editor")
    editor.get_by_role("textbox").fill("601")
    filler.keyboard.press("Enter")
    expect(filler.get_by_test_id("write-status")).to_contain_text("above the highest allowed, 600")
    filler.keyboard.press("Escape")
    expect(editor).to_have_count(0)
    expect(row.get_by_test_id("value")).to_have_text(before)


def test_the_table_is_walked_and_edited_by_keyboard(filler: Page) -> None:
    metric(filler, "Setpoints/Fill Volume")
    table = filler.get_by_role("treegrid")
    table.focus()
    for key in ("Home", "ArrowDown", "Enter"):
        filler.keyboard.press(key)
    editor = filler.get_by_test_id("editor")
    expect(editor.get_by_role("textbox")).to_be_focused()
    filler.keyboard.press("Escape")
    expect(editor).to_have_count(0)
    expect(table).to_be_focused()
    filler.keyboard.press("t")
    expect(filler.get_by_test_id("trend")).to_contain_text("Setpoints / Fill Volume")
    filler.keyboard.press("Escape")
    expect(filler.get_by_test_id("trend")).to_have_count(0)


def test_what_is_typed_outlives_being_scrolled_out_of_view(filler: Page) -> None:
    metric(filler, "Setpoints/Speed").get_by_test_id("value").get_by_role("button").click()
    box = filler.get_by_test_id("editor").get_by_role("textbox")
    box.fill("123")
    filler.get_by_label("Filter metrics").fill("")
    filler.set_viewport_size({"width": 1440, "height": 400})
    filler.get_by_role("treegrid").evaluate("table => table.scrollTo(0, 0)")
    expect(filler.locator("[data-metric='Setpoints/Speed']")).to_have_count(0)
    expect(box).to_have_value("123")


def test_a_trend_opens_from_a_metric(filler: Page) -> None:
    metric(filler, "Bowl/Level").get_by_role("button", name="Level").click()
    trend = filler.get_by_test_id("trend")
    expect(trend.locator("canvas")).to_be_visible()
    expect(trend).to_contain_text("Bowl / Level")
    trend.get_by_role("button", name="Close trend").click()
    expect(trend).to_have_count(0)


def test_a_trend_shows_the_stored_history_and_is_zoomed(stack: Stack, filler: Page) -> None:
    put_past(stack.database_url, "Filler", "Bowl/Level")
    metric(filler, "Bowl/Level").get_by_role("button", name="Level").click()
    trend = filler.get_by_test_id("trend")
    with filler.expect_response(lambda answer: asked_s(answer.url) > 3_500) as answer:
        trend.get_by_role("button", name="1 h", exact=True).click()
    assert answer.value.json()["series"][0]["before"][1] == PAST_VALUE
    footer = filler.get_by_test_id("trend-footer")
    canvas = trend.locator("canvas")
    box = canvas.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    plot_left, plot_width = box["x"] + 64, box["width"] - 64
    # A quarter from the left is three quarters of an hour ago, before the page was opened.
    filler.mouse.move(plot_left + plot_width * 0.25, middle)
    expect(footer).to_contain_text(str(PAST_VALUE))
    filler.mouse.down()
    filler.mouse.move(plot_left + plot_width * 0.45, middle, steps=4)
    with filler.expect_response(lambda answer: 600 < asked_s(answer.url) < 840):
        filler.mouse.up()
    live = trend.get_by_role("button", name="Live")
    expect(live).to_have_attribute("aria-pressed", "false")
    trend.get_by_role("button", name="Zoom out").click()
    trend.get_by_role("button", name="Earlier").click()
    live.click()
    expect(live).to_have_attribute("aria-pressed", "true")
    expect(footer).to_contain_text("Drag over a part")


PAST_VALUE = 77.5


def asked_s(url: str) -> float:
    """Give how long a time of history was asked for, in seconds; 0 for another request."""
    asked = parse_qs(urlsplit(url).query)
    if "/history/plot" not in url:
        return 0.0
    start, end = (datetime.fromisoformat(asked[name][0]) for name in ("start", "end"))
    return (end - start).total_seconds()


def put_past(url: str, device: str, name: str) -> None:
    """Store a value that held from an hour ago to half an hour ago."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT historian.ensure_day(day::date) FROM unnest(ARRAY[now(), now() - interval"
            " '1 day']) AS day"
        )
        for minutes, value in ((70, PAST_VALUE), (30, 20.0)):
            connection.execute(
                "INSERT INTO historian.sample (time, metric_id, value)"
                " VALUES (now() - %s * interval '1 min', historian.metric_of(%s, %s), %s)",
                (minutes, device, name, value),
            )


def test_a_host_without_history_says_so_and_draws_what_the_page_has_seen(
    stack: Stack, filler: Page
) -> None:
    filler.route(
        "**/history/plot*",
        lambda route: route.fulfill(
            status=503, json={"error": "history: no database is configured, set NEXUS_HISTORY_URL"}
        ),
    )
    metric(filler, "Bowl/Level").get_by_role("button", name="Level").click()
    footer = filler.get_by_test_id("trend-footer")
    expect(footer).to_contain_text("No history: no database is configured")
    expect(footer).to_contain_text("Seen by this page since")
    expect(filler.get_by_test_id("trend").locator("canvas")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_telephone(filler: Page, scheme: str) -> None:
    filler.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    filler.set_viewport_size({"width": 390, "height": 844})
    width = filler.evaluate("document.documentElement.scrollWidth")
    assert width <= 390
    filler.get_by_role("button", name="Plant tree").click()
    filler.get_by_role("treeitem", name="Capper").click()
    expect(filler.get_by_role("heading", name="Capper")).to_be_visible()


def test_a_rebirth_is_asked_for_and_seen_in_the_diagnostics(stack: Stack, filler: Page) -> None:
    filler.goto(stack.console_url + "/#/Bottling/Line1")
    filler.get_by_role("button", name="Diagnostics").click()
    diagnostics = filler.get_by_test_id("diagnostics")
    births = diagnostics.locator("dl > div", has_text="Births").locator("dd").first
    expect(diagnostics.get_by_test_id("traffic")).to_contain_text("Messages a second")
    before = number(births.inner_text())
    filler.get_by_role("button", name="Request rebirth").click()
    expect(births).to_have_text(f"{before + 1:.0f}")
    expect(diagnostics.get_by_test_id("rebirths")).to_contain_text("somebody asked for it")
    expect(filler.get_by_test_id("journal")).to_contain_text("Born")
    expect(filler.get_by_test_id("notices")).to_contain_text("admin asked for births")
    for device in ("Capper", "Filler", "Labeller"):
        expect(diagnostics.get_by_role("row", name=device)).to_contain_text("Online")


def test_a_node_that_breaks_the_specification_is_named_with_what_it_breaks(
    stack: Stack, filler: Page
) -> None:
    broker = urlsplit(stack.mqtt_url)
    assert broker.hostname is not None
    assert broker.port is not None
    topic = "spBv1.0/Foreign/NDATA/Odd One"
    publish.single(topic, b"\xff\xff", hostname=broker.hostname, port=broker.port)
    filler.get_by_role("treeitem", name="Odd One").click()
    filler.get_by_role("button", name="Diagnostics").click()
    violations = filler.get_by_test_id("violations")
    expect(violations).to_contain_text("payload cannot be decoded")
    expect(filler.get_by_test_id("owner-state")).to_contain_text("Offline")
    expect(filler.get_by_test_id("notices")).to_contain_text("Foreign/Odd One")


def test_the_page_says_that_the_host_is_gone_and_comes_back_with_it(
    stack: Stack, filler: Page
) -> None:
    row = metric(filler, "Product/Temperature")
    expect(row).to_be_visible()
    stack.role("host").stop(signum=signal.SIGKILL)
    banner = filler.get_by_test_id("link-banner")
    expect(banner).to_contain_text("Connection lost")
    expect(filler.get_by_test_id("host")).to_contain_text("unknown")
    _, _, port = stack.console_url.rpartition(":")
    arguments = ["host", "--port", port, "--bind", "127.0.0.1"]
    stack._roles.start("host", arguments, stack._role_settings())
    expect(banner).to_have_count(0, timeout=45_000)
    expect(row).to_have_attribute("data-stale", "false", timeout=30_000)
    # What was typed and selected is still there.
    expect(filler.get_by_label("Filter metrics")).to_have_value("Product/Temperature")


def test_values_turn_stale_when_the_edge_node_is_killed_and_live_again_with_it(
    stack: Stack, filler: Page
) -> None:
    row = metric(filler, "Product/Temperature")
    expect(row).to_have_attribute("data-stale", "false")
    stack.role("edge node").stop(signum=signal.SIGKILL)
    expect(row).to_have_attribute("data-stale", "true")
    expect(row).to_contain_text("Stale")
    expect(filler.get_by_test_id("owner-state")).to_contain_text("Offline")
    expect(filler.get_by_test_id("nodes-offline")).to_contain_text("1")
    stack.start_edge()
    expect(row).to_have_attribute("data-stale", "false")
    expect(filler.get_by_test_id("owner-state")).to_contain_text("Online")
