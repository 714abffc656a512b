#!/bin/sh
# What the tests of sources, sinks and the live view need from Debian: senders and receivers of video, and a browser.
# Tests that need them skip where they are missing.
set -eu
apt-get update
apt-get install -y --no-install-recommends \
    chromium ffmpeg python3-gi gir1.2-gst-rtsp-server-1.0 gir1.2-gst-plugins-base-1.0 gstreamer1.0-plugins-base \
    gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gstreamer1.0-rtsp
