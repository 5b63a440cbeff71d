"""Pretraining octoview on synthetic studies, of which it is known where every sac lies.

Study labels say that there is an aneurysm among eight views of 130,000 pixels, and a few hundred
studies do not tell which dark spot it was. The generator does: the encoder and its evidence learn
from outlines, on as many studies as one likes, and the cohort's training starts from there.
"""
