#!/usr/bin/python3
import sys

sys.stdout.write("Content-Type: text/plain\n\nhello from Python")
