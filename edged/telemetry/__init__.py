"""What the box tells about itself: the log, the clock, the standing conditions, the live snapshots."""
