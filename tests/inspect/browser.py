"""A headless Chromium, as the tests of pages want it."""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager

from minidl.inspect.embed import FOLDER

BINARY, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
MISSING = "" if BINARY and DRIVER else "Chromium and its driver are not installed (Debian: chromium, chromium-driver)"
assert FOLDER.exists()


@contextmanager
def chromium(folder, width=1280, height=800):
    """A browser whose window is of the size given, with a fresh profile in ``folder``."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = BINARY
    for argument in (
        *(
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-dev-shm-usage",
        ),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        f"--user-data-dir={folder}",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        resize(driver, width, height)
        driver.set_script_timeout(60)
        yield driver
    finally:
        driver.quit()


def resize(driver, width, height):
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def requests(driver):
    """The addresses that the pages asked for since this was last called."""
    found = []
    for entry in driver.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            found.append(message["params"]["request"]["url"])
    return [url for url in found if not url.startswith("data:")]
