@echo off
echo Good day, %*!
