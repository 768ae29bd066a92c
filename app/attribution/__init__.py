"""Attribution: which touches earn a conversion, under every model at once, exactly and explainably."""
