"""Why a text got its label: exact where the network adds up n-grams, measured where it does not."""
