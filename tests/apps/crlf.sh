#!/bin/sh
printf 'Status: 201 Made\r\nContent-Type: text/plain\r\nX-One: 1\r\n\r\ncrlf'
