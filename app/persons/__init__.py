"""The rights of persons: find one, export all that is held, erase it and leave the books as they are."""
