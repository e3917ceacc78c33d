"""What calls cost, cost elsewhere, and would cost: sites, mixes, inflection points, and pictures of them. No clock, no
socket, no database in it: numbers come in, numbers and text go out."""
