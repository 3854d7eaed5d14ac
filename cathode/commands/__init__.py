"""What can be typed after `cathode`: each command adds its flags and returns what runs. A command imports what it needs when it runs."""
