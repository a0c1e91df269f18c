"""Sensor plugins: facts about one collection of scenes, one file each."""
