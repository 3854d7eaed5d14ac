"""What the symbols and words of a report mean."""

GLOSSARY = {
    "signal region": "The interval of masses in which a window looks for a signal. Its events are compared with a background that was learned outside of it.",
    "sidebands": "Masses outside the signal region, where the background is learned.",
    "template": "Background events in the signal region that the model made from the sidebands; the classifier learns to tell data from them.",
    "ε_B": "Background efficiency: the share of background events that a selection lets through. 0.01 keeps one in a hundred.",
    "σ": "Standard deviations of a normal distribution: 3σ is a probability of 0.00135, 5σ of 2.9e-7, one-sided.",
    "local": "The probability that background alone gives this count or a higher one in this one hunt, in σ.",
    "global": "The same after the number of hunts that were looked at (windows × methods × working points): the chance that any of them is as significant, by toys of counts that share events as these hunts do.",
    "trials": "The smallest p-value of a window's methods and working points, as the chance that any of them is as small. Hunts that share events are worth fewer trials.",
    "together": "By features and inclusive, by Fisher's product of both p-values: one counts how many events pass, the other how many there are, which is taken for independent.",
    "expected": "Background events behind the selection, shifted by the measured mean bias, with every uncertainty in ±.",
    "closure": "The whole chain in regions without signal, other windows among them: observed over predicted is the bias of the method, and its scatter an uncertainty.",
    "sculpting": "A selection whose efficiency depends on the mass carves a bump out of a smooth spectrum.",
    "inclusive": "All events of the signal region, before any selection, against a fit to the mass spectrum of the sidebands: a bump hunt without features.",
    "conformal": "Every event is compared with recorded sideband events by its score, which are weighted to the masses of the region: no density and no closure, but the efficiency of a cut is taken for linear in log m.",
    "Li–Ma": "A significance from counts alone, no uncertainty of the background model (ApJ 272, 317). The distance to the quoted one is what an honest background costs.",
    "degrees of freedom": "How well the scatter of the closure is known. Few pseudo signal regions know it badly, and Student's t has longer tails then.",
    "overdispersion": "Variance of the counts over Poisson's. Folds that select for each other's fluctuations raise it, averages over fold splits lower it.",
    "limit": "Signal events behind the selection that are excluded at 95 % confidence level (CLs); expected: the median without signal, with its 68 and 95 % bands.",
    "pull": "Data minus fit, over the error of the data.",
    "p-value": "Probability of such a count or a higher one from background alone.",
}
