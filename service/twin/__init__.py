"""Offline carriers: doubles of Twilio and Telnyx that call the bridge, sign, listen and hang up.

They share the carriers' documented rules with the bridge and no code that a mistake could hide in.
"""
