"""Two processes and a broker between them: how many events a second get across, and how long one takes."""
