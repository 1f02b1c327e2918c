"""What TIA Portal and STEP 7 export, read into tags. Pure: bytes in, tags out."""
