"""What the HTML pages have in common: their looks, and how they are filled."""
