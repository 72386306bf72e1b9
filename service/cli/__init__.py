"""The commands of `callbridge`, one file each."""
